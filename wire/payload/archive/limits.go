package archive

const (
	// MaxUnpacked bounds what an archive's files have together: text and code are
	// packed to a quarter of it.
	MaxUnpacked = 256 << 20 // bytes

	// maxEntries bounds the files and directories of an archive, and with maxDepth the
	// paths that are held in memory while it is read.
	maxEntries = 4096

	// maxDepth bounds how deep directories of an archive are.
	maxDepth = 16

	// maxPath bounds a path in an archive, and with it what is kept of it in memory.
	maxPath = 1 << 10 // bytes

	// maxName bounds a part of a path: Linux's NAME_MAX.
	maxName = 255 // bytes
)
