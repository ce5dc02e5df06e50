package payload

import "quicklime/wire"

const (
	// MaxSize bounds a plaintext.
	MaxSize = wire.MaxPayload // bytes

	// MaxSealed bounds a ciphertext.
	MaxSealed = wire.MaxSealedPayload // bytes

	// MaxManifest bounds a manifest.
	MaxManifest = wire.MaxManifest // bytes

	// MaxVersion bounds a version.
	MaxVersion = wire.MaxPayloadVersion

	// MaxReceipt bounds a receipt.
	MaxReceipt = wire.MaxReceipt // bytes

	// MaxReason bounds the words of an outcome.
	MaxReason = wire.MaxPayloadReason // bytes

	// MaxOutput bounds what a receipt carries of a program's output: its end, which
	// says what went wrong.
	MaxOutput = 8 << 10 // bytes

	// maxTime is the last second of the year 9999, the end of what RFC 3339 can
	// write.
	maxTime = 253402300799
)
