package eventlog

// Bounds on a log, held before anything of it is kept.
const (
	// MaxLog bounds a log. Firmware reserves 64 KiB for it (PFP 1.06, section
	// 10.1), and a large revocation list makes some 100 KiB of it.
	MaxLog = 1 << 20 // bytes

	// MaxEvents bounds the events of a log. A boot has 50 to 150; one by a boot
	// loader that measures each command of its menu, some hundreds.
	MaxEvents = 16 << 10

	// MaxBanks bounds the table of TCG_EfiSpecIDEvent, and so the digests of an
	// event (TPM 2.0 Library part 2, section 10.9.8, HASH_COUNT).
	MaxBanks = 16

	// MaxDigest bounds the length of a digest whose bank is not known: that of
	// SHA-512.
	MaxDigest = 64 // bytes

	// MaxSignatures bounds the entries of a signature database. The revocation
	// list of 2025 has some 400; one that fills MaxLog with SHA-256 has 21,000.
	MaxSignatures = 32 << 10

	// MaxPartitions bounds the entries of a partition table; 128 are usual.
	MaxPartitions = 1024

	// MaxNodes bounds the nodes of a device path; ten are many.
	MaxNodes = 64
)
