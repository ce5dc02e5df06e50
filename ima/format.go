package ima

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Field is the kind of one field of template data: what the kernel calls a field
// identifier (kernel: Documentation/security/IMA-templates.rst; security/integrity/
// ima/ima_template.c, supported_fields).
type Field string

// The fields.
const (
	FieldDigest       Field = "d"            // the digest, SHA-1 or MD5, alone
	FieldName         Field = "n"            // the name, at most 255 bytes, NUL
	FieldDigestNG     Field = "d-ng"         // algorithm ":" NUL digest
	FieldDigestNGv2   Field = "d-ngv2"       // type ":" algorithm ":" NUL digest
	FieldNameNG       Field = "n-ng"         // the name, NUL
	FieldSignature    Field = "sig"          // the file's signature, or nothing
	FieldDigestModsig Field = "d-modsig"     // the digest without the appended signature, as d-ng, or nothing
	FieldModsig       Field = "modsig"       // the appended signature, or nothing
	FieldBuffer       Field = "buf"          // what was measured that is no file, or nothing
	FieldEVMSignature Field = "evmsig"       // the portable EVM signature, or nothing
	FieldUID          Field = "iuid"         // u32
	FieldGID          Field = "igid"         // u32
	FieldMode         Field = "imode"        // u16
	FieldXattrNames   Field = "xattrnames"   // of the protected extended attributes, "|" between them
	FieldXattrLengths Field = "xattrlengths" // u32 each
	FieldXattrValues  Field = "xattrvalues"  // one behind the other
)

var fields = map[Field]bool{
	FieldDigest: true, FieldName: true, FieldDigestNG: true, FieldDigestNGv2: true, FieldNameNG: true, FieldSignature: true,
	FieldDigestModsig: true, FieldModsig: true, FieldBuffer: true, FieldEVMSignature: true, FieldUID: true, FieldGID: true,
	FieldMode: true, FieldXattrNames: true, FieldXattrLengths: true, FieldXattrValues: true,
}

// Format is the sequence of fields of a template: the kernel's built-in ones, or a
// custom one, whose name in the list is the format itself.
type Format struct {
	name   string
	fields []Field
}

// builtin are the kernel's templates (kernel: ima_template.c, builtin_templates).
var builtin = map[string]Format{}

func init() {
	for name, format := range map[string]string{
		Legacy:       "d|n",
		"ima-ng":     "d-ng|n-ng",
		"ima-sig":    "d-ng|n-ng|sig",
		"ima-ngv2":   "d-ngv2|n-ng",
		"ima-sigv2":  "d-ngv2|n-ng|sig",
		"ima-buf":    "d-ng|n-ng|buf",
		"ima-modsig": "d-ng|n-ng|sig|d-modsig|modsig",
		"evm-sig":    "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
	} {
		f, err := ParseFormat(format)
		if err != nil {
			panic(err)
		}
		f.name = name
		builtin[name] = f
	}
}

// FormatOf returns the format of a built-in template.
func FormatOf(template []byte) (Format, bool) {
	f, ok := builtin[string(template)]
	return f, ok
}

// Formats returns the formats of the built-in templates, in no order.
func Formats() []Format { return slices.Collect(maps.Values(builtin)) }

// ParseFormat reads a custom format: fields with "|" between them. It must name a
// file and its digest, each once.
func ParseFormat(format string) (Format, error) {
	f := Format{name: format}
	if len(format) > MaxTemplateName {
		return Format{}, fmt.Errorf("a template format of %d bytes, the limit is %d", len(format), MaxTemplateName)
	}
	var digests, names int
	seen := map[Field]bool{}
	for id := range strings.SplitSeq(format, "|") {
		field := Field(id)
		switch {
		case !fields[field]:
			return Format{}, fmt.Errorf("%q is no field of a template", id)
		case seen[field]:
			return Format{}, fmt.Errorf("the field %s comes twice", id)
		case field == FieldDigest || field == FieldDigestNG || field == FieldDigestNGv2:
			digests++
		case field == FieldName || field == FieldNameNG:
			names++
		}
		seen[field] = true
		f.fields = append(f.fields, field)
	}
	switch {
	case len(f.fields) > MaxFields:
		return Format{}, fmt.Errorf("a template of %d fields, the kernel's limit is %d", len(f.fields), MaxFields)
	case digests != 1 || names != 1:
		return Format{}, fmt.Errorf("a template must have one digest (d, d-ng or d-ngv2) and one name (n or n-ng)")
	}
	return f, nil
}

// Name returns the template's name in the list.
func (f Format) Name() string { return f.name }

// Fields returns how many fields the template has.
func (f Format) Fields() int { return len(f.fields) }

// alike reports whether the format is one of the two
// in which a file event and a buffer event look
// alike.
func (f Format) alike() bool {
	return len(f.fields) == 3 && f.fields[0] == FieldDigestNG && f.fields[1] == FieldNameNG &&
		(f.fields[2] == FieldSignature || f.fields[2] == FieldBuffer)
}
