package ima

import (
	"bytes"
	"fmt"

	"quicklime/wire/pcr"
)

// BootAggregate is the name of the entry that ties a list to the boot.
const BootAggregate = "boot_aggregate"

// Event is what an entry's template data says: a file with its digest, or a
// buffer. It is read from the bytes alone, for the template's name is not
// covered by any digest (I17).
type Event struct {
	Algorithm pcr.Bank // hash of Digest; 0 if it is none that the project knows
	Digest    []byte
	Name      []byte // path of a file, as the kernel wrote it: any bytes but NUL (I24); or name of a buffer
	Signature []byte // a file's signature, if the template has a place for it
	Buffer    []byte // not nil: a buffer event, whose digest is the hash of these bytes
}

// Event reads the entry's template data, which it must consume to the last byte:
//
//	d-ng ("alg:" NUL digest) | n-ng (name NUL) [ | sig or buf ]
//
// (kernel: security/integrity/ima/ima_template_lib.c, ima_eventdigest_init_common
// and ima_write_template_field_data; the formats: ima_template.c,
// builtin_templates).
//
// Three fields of which the first is the hash of a third that is not empty are a
// buffer event; otherwise the third is a signature. Any other data is
// ErrMalformed: no template that this version reads.
func (e Entry) Event() (Event, error) {
	c := cursor{rest: e.Data}
	digest, name := c.field(MaxTemplateData), c.field(MaxTemplateData)
	var third []byte
	if c.err == nil && len(c.rest) > 0 {
		third = c.field(MaxTemplateData)
	}
	if c.err != nil || len(c.rest) != 0 {
		return Event{}, fmt.Errorf("%w: template %q: the data is not two or three fields", ErrMalformed, e.Template)
	}
	ev, err := parseDigest(digest)
	if err != nil {
		return Event{}, fmt.Errorf("template %q: %w", e.Template, err)
	}
	n := bytes.IndexByte(name, 0)
	if n < 1 || n != len(name)-1 {
		return Event{}, fmt.Errorf("%w: template %q: the name does not end with its only NUL", ErrMalformed, e.Template)
	}
	ev.Name = name[:n]
	if len(third) > 0 && ev.hashes(third) {
		ev.Buffer = third
	} else {
		ev.Signature = third
	}
	return ev, nil
}

// hashes reports whether the event's digest is the hash of b.
func (ev Event) hashes(b []byte) bool {
	return ev.Algorithm.Known() && bytes.Equal(ev.Algorithm.Sum(b), ev.Digest)
}

// parseDigest reads a d-ng field: the name of the hash, ":", NUL, the digest
// (kernel: ima_template_lib.c, ima_eventdigest_init_common).
func parseDigest(field []byte) (Event, error) {
	name, digest, ok := bytes.Cut(field, []byte(":\x00"))
	if !ok || len(name) == 0 {
		return Event{}, fmt.Errorf("%w: the digest does not begin with the name of its hash", ErrMalformed)
	}
	bank := bankOf(name)
	if bank.Known() && len(digest) != bank.Size() {
		return Event{}, fmt.Errorf("%w: a %v digest of %d bytes", ErrMalformed, bank, len(digest))
	}
	return Event{Algorithm: bank, Digest: digest}, nil
}

// bankOf is pcr.ParseBank without its error, so that it costs nothing.
func bankOf(name []byte) pcr.Bank {
	switch string(name) {
	case "sha1":
		return pcr.SHA1
	case "sha256":
		return pcr.SHA256
	case "sha384":
		return pcr.SHA384
	case "sha512":
		return pcr.SHA512
	}
	return 0
}
