package payload

const (
	// MaxSize bounds a plaintext: certificates, keys and configuration take
	// kilobytes, an initial ramdisk or a small model some tens of megabytes. It is
	// held in memory on the machine, as is the ciphertext while it arrives.
	MaxSize = 64 << 20 // bytes

	// MaxSealed bounds a ciphertext: MaxSize and a tag for each segment.
	MaxSealed = MaxSize + MaxSize/segmentSize*tagSize // bytes

	// MaxManifest bounds a manifest: names of 64 bytes, three digests, a signature of
	// 64 bytes and the header need under 500.
	MaxManifest = 1 << 10 // bytes

	// MaxShare bounds either part of a sealed share: a secret for an EK of RSA-4096
	// is 512 bytes.
	MaxShare = 1 << 10 // bytes

	// MaxReceipt bounds a receipt: the words of an outcome and what a program wrote.
	MaxReceipt = 16 << 10 // bytes

	// MaxReason bounds the words of an outcome.
	MaxReason = 512 // bytes

	// MaxOutput bounds what a receipt carries of a program's output: its end, which
	// says what went wrong.
	MaxOutput = 8 << 10 // bytes

	// maxTime is the last second of the year 9999, the end of what RFC 3339 can
	// write.
	maxTime = 253402300799
)
