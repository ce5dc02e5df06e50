package dm

// Every bound on an event, a policy and a state, and why it is what it is.
const (
	// MaxEvent bounds a buffer. The kernel's own is 4096 bytes
	// (DM_IMA_MEASUREMENT_BUF_LEN); one that is larger in a later kernel should not
	// stop the verifier.
	MaxEvent = 64 << 10 // bytes

	// MaxName bounds a device's name: DM_NAME_LEN without its NUL.
	MaxName = 127 // bytes, unescaped

	// MaxUUID bounds a device's uuid: DM_UUID_LEN without its NUL.
	MaxUUID = 128 // bytes, unescaped

	// MaxTargets bounds the targets of one event, and of a rule: the kernel's buffer
	// holds some fifty.
	MaxTargets = 256

	// MaxAttributes bounds the attributes of a target: the kernel writes them to
	// 2048 bytes (DM_IMA_TARGET_DATA_BUF_LEN), at four bytes or more each.
	MaxAttributes = 512

	// MaxDevices bounds the devices of a State, 300 bytes each where names are
	// long: more than one machine has that a policy was written for.
	MaxDevices = 1024

	// MaxState bounds an encoded State: MaxDevices with the longest of keys and
	// names of rules.
	MaxState = MaxDevices * (MaxUUID + MaxRuleName + 64) // bytes

	// MaxPolicy bounds a policy's text: a thousand rules of usual length.
	MaxPolicy = 1 << 20 // bytes

	// MaxDepth bounds nesting: the deepest value of the format, a target's
	// reference, is six deep.
	MaxDepth = 16

	// MaxValues bounds the values of a policy's text, each of which costs some
	// hundred bytes of memory while it is read.
	MaxValues = 1 << 16

	// MaxRules bounds the rules, whose expressions are tried one by one for a
	// device that is new.
	MaxRules = 1000

	// MaxRuleName bounds the name of a rule, which is stored with each device.
	MaxRuleName = 256 // bytes

	// MaxExpression bounds the text of one expression: a name or a path of usual
	// length, with room for alternatives.
	MaxExpression = 4 << 10 // bytes

	// MaxProgram bounds what all expressions compile to, in RE2 instructions and
	// ranges of character classes.
	MaxProgram = 1 << 18

	// MaxProblems bounds the problems that ParsePolicy returns: a person mends the
	// first and tries again.
	MaxProblems = 100

	// MaxReported bounds the places that Unknown lists.
	MaxReported = 100

	// MaxFindings bounds the findings of one event: the kinds are few, and who
	// reads them needs the first.
	MaxFindings = 100

	// maxShown bounds what a message quotes.
	maxShown = 200 // bytes
)
