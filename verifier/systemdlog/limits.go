package systemdlog

import "quicklime/wire"

// Bounds on a log, held before anything of it is kept.
const (
	// MaxLog bounds a log: what the protocol carries of one.
	MaxLog = wire.MaxSystemdLog // bytes

	// MaxRecords bounds the records of a log: as many as MaxLog has room for short ones.
	MaxRecords = 4096

	// maxRecord bounds a record: a device's name or a mount point, and escapes of them,
	// in a text.
	maxRecord = 16 << 10 // bytes

	// maxDepth bounds nesting: a record is four deep.
	maxDepth = 8

	// maxDigests bounds the digests of a record: one for each bank that a TPM can have
	// (TPM 2.0 Library part 2, section 10.9.8, HASH_COUNT).
	maxDigests = 16
)
