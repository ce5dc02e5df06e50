package bootpolicy

// Every bound on a reference state, and why it is what it is.
const (
	// MaxReference bounds the text: the revocation list of 2025 has some 400
	// digests, the certificates of a fleet some hundred KiB, and there is room for
	// the kernels of years.
	MaxReference = 8 << 20 // bytes

	// MaxRevocationList bounds the file of a revocation list: that of 2025 has 25 KB, and
	// firmware has room for some 100 KB of dbx.
	MaxRevocationList = 1 << 20 // bytes

	// MaxValues bounds the values of all kinds in the text: as many as MaxReference
	// holds digests, each with the member that it is in.
	MaxValues = 1 << 18

	// MaxDepth bounds nesting: the deepest member of the format is five deep.
	MaxDepth = 16

	// MaxAlternatives bounds kernels and scrtm_and_bios: each boot is compared with
	// all of them.
	MaxAlternatives = 1000

	// MaxExpression bounds an expression: a kernel command line is of at most 4096
	// bytes (x86: COMMAND_LINE_SIZE 2048), and there is room for escapes.
	MaxExpression = 8 << 10 // bytes

	// MaxExpressions bounds the expressions of one list, which are tried one by one
	// for each command of a boot loader.
	MaxExpressions = 1000

	// MaxProgram bounds what all expressions compile to, in RE2 instructions, each of
	// some 40 bytes: those of hundreds of kernels that share none of their commands.
	MaxProgram = 1 << 21

	// MaxReported bounds the members that Unknown lists.
	MaxReported = 100

	// maxOfKind bounds the events of a kind that are accepted whatever their digest
	// is: firmware has some dozens of boot options.
	maxOfKind = 256

	// maxShown bounds what a message quotes: enough to find it.
	maxShown = 200 // bytes

	// maxExpected bounds the values that a failure shows.
	maxExpected = 16
)
