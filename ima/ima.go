// Package ima reads the kernel's measurement list and replays it to the value of
// the PCR that covers it. It is plain hashing, used by agent and verifier alike;
// it judges nothing.
//
// # Format
//
// The binary list (binary_runtime_measurements; kernel:
// security/integrity/ima/ima_fs.c, ima_measurements_show; Documentation/security/
// IMA-templates.rst) is a concatenation of entries in little-endian order:
//
//	pcr u32 | template digest [20]byte | length u32 | template name | length u32 | template data
//
// Template data is a sequence of fields, each of them
//
//	length u32 | bytes
//
// The template digest column is the SHA-1 of the template data, or all zero for
// a violation. A PCR bank is extended with the bank's own hash of the template
// data, and for a violation with 0xFF in every byte. Neither the PCR index, nor
// the digest column, nor the template name is covered by what is extended; only
// the template data is, and for a violation not even that.
//
// The legacy template "ima" has no length before its data and another layout; it
// is refused as malformed. Lists of big-endian kernels are not read.
package ima

import "errors"

// Bounds on an entry.
const (
	// MaxTemplateName bounds a template's name: the kernel's longest built-in
	// name, ima-modsig, has 10 bytes (kernel: security/integrity/ima/
	// ima_template.c, builtin_templates), a custom format string at most 255.
	MaxTemplateName = 255 // bytes

	// MaxTemplateData bounds an entry's data: a path of PATH_MAX (4096) bytes, a
	// digest and a signature, or a buffer such as a kexec command line, a key or
	// a device-mapper table; the largest of these that kernels write is a few
	// pages.
	MaxTemplateData = 64 << 10 // bytes
)

var (
	// ErrShort says that the bytes end inside an entry.
	ErrShort = errors.New("measurement list ends inside an entry")
	// ErrMalformed says that the bytes are no measurement list.
	ErrMalformed = errors.New("malformed measurement list")
	// ErrOtherPCR says that an entry extends another PCR than the one that the
	// replay is of, which says nothing about it.
	ErrOtherPCR = errors.New("an entry for another PCR")
)
