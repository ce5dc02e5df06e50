package policy

// Every bound on a policy, and why it is what it is.
const (
	// MaxPolicy bounds a policy's text: two million paths of usual length with one
	// SHA-256 digest each, every version of every package that a fleet has had in
	// years.
	MaxPolicy = 256 << 20 // bytes

	// MaxMembers bounds the members of all objects of a JSON text together, most
	// of which are paths: as many as MaxPolicy holds. Each costs some hundred bytes
	// of memory while a policy that has mistakes is read.
	MaxMembers = 1 << 21

	// MaxDepth bounds nesting: the deepest member of the format, a target of a
	// device-mapper rule, is ten deep.
	MaxDepth = 32

	// MaxPath bounds a path: PATH_MAX of Linux.
	MaxPath = 4096 // bytes

	// MaxDigests bounds the digests of one path, which are searched one by one:
	// as many versions of a file as a daily build has in two years.
	MaxDigests = 1000

	// MaxExcludes bounds the exclusions, which are tried one by one for a file
	// that is not listed.
	MaxExcludes = 10_000

	// MaxExpression bounds the text of one exclusion: a literal path of PATH_MAX
	// with room for escapes.
	MaxExpression = 8 << 10 // bytes

	// MaxProgram bounds what all exclusions compile to, in RE2 instructions and
	// ranges of character classes. Matching one path against all of them takes at
	// most so many steps for each of its bytes, and 10 MB hold them.
	MaxProgram = 1 << 18

	// MaxTemplates bounds the custom template formats: a fleet has one or two.
	MaxTemplates = 16

	// MaxProblems bounds the problems that an Error lists: a person mends the
	// first and tries again.
	MaxProblems = 100

	// MaxReported bounds the places that Unknown and Warnings list.
	MaxReported = 100

	// MaxExpected bounds the digests that a Decision shows.
	MaxExpected = 16

	// maxShown bounds what a message quotes of a policy: enough to find it.
	maxShown = 200 // bytes
)
