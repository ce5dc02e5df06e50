package ima

// Bounds on an entry and on what a replay holds of a list.
const (
	// MaxTemplateName bounds a template's name: the kernel's longest built-in
	// name, ima-modsig, has 10 bytes (kernel: security/integrity/ima/
	// ima_template.c, builtin_templates), a custom format at most 255.
	MaxTemplateName = 255 // bytes

	// MaxTemplateData bounds an entry's data: a path of PATH_MAX (4096) bytes, a
	// digest and a signature, or a buffer such as a kexec command line, a key or
	// a device-mapper table; the largest of these that kernels write is a few
	// pages.
	MaxTemplateData = 64 << 10 // bytes

	// MaxFields bounds the fields of a template (kernel: ima_template.c,
	// IMA_TEMPLATE_NUM_FIELDS_MAX).
	MaxFields = 15

	// MaxLegacyName bounds the name in an entry of the legacy template (kernel:
	// ima.h, IMA_EVENT_NAME_LEN_MAX).
	MaxLegacyName = 255 // bytes

	// batch is how many entries are hashed and shown at once: enough to find work
	// for every hashing unit and to overlap what each costs, few enough to stay in
	// a core's first cache.
	batch = 128

	// window is how much of a list that comes in small pieces is replayed at once:
	// about a batch.
	window = 24 << 10 // bytes
)
