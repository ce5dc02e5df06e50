package ima

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"quicklime/wire/pcr"
)

// BootAggregate is the name of the entry that ties a list to the boot.
const BootAggregate = "boot_aggregate"

// Event is what an entry's template data says: a file with its digest, or a
// buffer. Its slices are parts of the data.
type Event struct {
	Verity    bool     // Digest is of the file's fs-verity descriptor, not of its bytes
	Algorithm pcr.Bank // hash of Digest; 0 if it is none that the project knows
	Digest    []byte
	Name      []byte // path of a file, as the kernel wrote it: any bytes but NUL (I24); or name of a buffer
	Signature []byte // security.ima of a file, if the template has a place for it
	Buffer    []byte // not nil: a buffer event, whose digest is the hash of these bytes
	Modsig    Modsig
	EVM       EVM
}

// Modsig is a signature that is appended to the file itself, as to a kernel module.
type Modsig struct {
	Algorithm pcr.Bank // hash of Digest; 0 if it is none that the project knows, or there is no digest
	Digest    []byte   // of the file without the signature; nil: none
	Signature []byte   // PKCS #7, DER; nil: none
}

// EVM is what a portable EVM signature signs of a file beside its digest.
type EVM struct {
	Signature    []byte // security.evm; nil: none
	XattrNames   []byte // "|" between them
	XattrLengths []byte // u32 each
	XattrValues  []byte
	UID, GID     uint32
	Mode         uint16
	Complete     bool // the template has all of these fields
}

// IsFile reports whether the event can be that of a file. A buffer event of a kernel
// is not named by a path and is no signature; one that is may be a file that was
// made to look like a buffer, by giving it its own contents as its signature
// (I17).
func (ev Event) IsFile() bool {
	return ev.Buffer == nil || ev.Name[0] == '/' || ev.Buffer[0] == xattrDigsig || ev.Buffer[0] == xattrVerity
}

// The first bytes of what a sig field holds (kernel: security/integrity/
// integrity.h, evm_ima_xattr_type; ima_template_lib.c, ima_eventsig_init).
const (
	xattrDigsig = 3 // EVM_IMA_XATTR_DIGSIG
	xattrVerity = 6 // IMA_VERITY_DIGSIG
)

// Event reads the entry's template data by the format of its template, a built-in
// one. The error is ErrMalformed: the template is unknown, or the data is not of
// its fields, to the last byte.
func (e Entry) Event() (Event, error) {
	f, ok := FormatOf(e.Template)
	if !ok {
		return Event{}, fmt.Errorf("%w: template %q is none of the kernel's", ErrMalformed, e.Template)
	}
	return f.Event(e)
}

// Event reads the entry's template data as of the format, whatever its template's
// name, which is not covered by any digest (I17).
//
// In the formats of ima-sig and ima-buf, a third field of which the first is the
// hash is a buffer, and any other a signature.
func (f Format) Event(e Entry) (Event, error) {
	ev, err := f.read(e)
	if err == nil && len(ev.Name) == 0 {
		err = fmt.Errorf("%w: an empty name", ErrMalformed)
	}
	if err != nil {
		return Event{}, fmt.Errorf("template %q: %w", e.Template, err)
	}
	return ev, nil
}

func (f Format) read(e Entry) (ev Event, err error) {
	if e.Legacy() != (f.name == Legacy) {
		return ev, fmt.Errorf("%w: the data is not that of %q", ErrMalformed, f.name)
	}
	if e.Legacy() {
		return Event{Algorithm: pcr.SHA1, Digest: e.Data[:digestColumn], Name: e.Data[digestColumn+4:]}, nil
	}
	c := cursor{rest: e.Data}
	for _, kind := range f.fields {
		b := c.field(MaxTemplateData)
		if c.err != nil {
			return ev, fmt.Errorf("%w: the data is not its %d fields", ErrMalformed, len(f.fields))
		}
		if err := ev.set(kind, b); err != nil {
			return ev, err
		}
	}
	if len(c.rest) != 0 {
		return ev, fmt.Errorf("%w: the data is not its %d fields", ErrMalformed, len(f.fields))
	}
	return ev, ev.settle(f)
}

// settle decides what a field is that can be either a signature or a buffer.
func (ev *Event) settle(f Format) error {
	ev.EVM.Complete = f.name == "evm-sig"
	if f.alike() {
		third := ev.Signature
		if ev.Buffer != nil {
			third = ev.Buffer
		}
		ev.Signature, ev.Buffer = third, nil
		if third != nil && ev.hashes(third) {
			ev.Signature, ev.Buffer = nil, third
		}
		return nil
	}
	if ev.Buffer != nil && !ev.hashes(ev.Buffer) {
		return fmt.Errorf("%w: the digest is not that of the buffer", ErrMalformed)
	}
	return nil
}

// set takes one field (kernel: security/integrity/ima/ima_template_lib.c).
func (ev *Event) set(kind Field, b []byte) (err error) {
	switch kind {
	case FieldDigest:
		return ev.bareDigest(b)
	case FieldDigestNG:
		ev.Algorithm, ev.Digest, err = parseDigest(b)
	case FieldDigestNGv2:
		return ev.typedDigest(b)
	case FieldName, FieldNameNG:
		ev.Name, err = parseName(b)
	case FieldSignature:
		ev.Signature = some(b)
	case FieldBuffer:
		ev.Buffer = some(b)
	case FieldDigestModsig:
		if len(b) > 0 {
			ev.Modsig.Algorithm, ev.Modsig.Digest, err = parseDigest(b)
		}
	case FieldModsig:
		ev.Modsig.Signature = some(b)
	default:
		return ev.EVM.set(kind, b)
	}
	return err
}

// set takes a field of the inode or its extended attributes.
func (m *EVM) set(kind Field, b []byte) error {
	size := len(b)
	switch kind {
	case FieldEVMSignature:
		m.Signature = some(b)
	case FieldXattrNames:
		m.XattrNames = b
	case FieldXattrLengths:
		m.XattrLengths = b
	case FieldXattrValues:
		m.XattrValues = b
	case FieldUID, FieldGID:
		size = 4
	case FieldMode:
		size = 2
	}
	if len(b) != size || kind == FieldXattrLengths && len(b)%4 != 0 {
		return fmt.Errorf("%w: a field %s of %d bytes", ErrMalformed, kind, len(b))
	}
	switch kind {
	case FieldUID:
		m.UID = binary.LittleEndian.Uint32(b)
	case FieldGID:
		m.GID = binary.LittleEndian.Uint32(b)
	case FieldMode:
		m.Mode = binary.LittleEndian.Uint16(b)
	}
	return nil
}

// some is b, or nil if it is empty.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// hashes reports whether the event's digest is the hash of b.
func (ev *Event) hashes(b []byte) bool {
	return ev.Algorithm.Known() && bytes.Equal(ev.Algorithm.Sum(b), ev.Digest)
}

// bareDigest reads a d field, SHA-1 or MD5 by its length.
func (ev *Event) bareDigest(b []byte) error {
	switch len(b) {
	case 20:
		ev.Algorithm = pcr.SHA1
	case 16:
	default:
		return fmt.Errorf("%w: a digest of %d bytes without an algorithm", ErrMalformed, len(b))
	}
	ev.Digest = b
	return nil
}

// typedDigest reads a d-ngv2 field: "ima" or "verity", ":", and as d-ng.
func (ev *Event) typedDigest(b []byte) (err error) {
	kind, rest, _ := bytes.Cut(b, []byte(":"))
	switch string(kind) {
	case "ima":
	case "verity":
		ev.Verity = true
	default:
		return fmt.Errorf("%w: the digest does not begin with its type", ErrMalformed)
	}
	ev.Algorithm, ev.Digest, err = parseDigest(rest)
	return err
}

// parseName reads an n or n-ng field, which ends with its only NUL (I24).
func parseName(b []byte) ([]byte, error) {
	n := bytes.IndexByte(b, 0)
	if n < 0 || n != len(b)-1 {
		return nil, fmt.Errorf("%w: the name does not end with its only NUL", ErrMalformed)
	}
	return b[:n:n], nil
}

// parseDigest reads a d-ng field: the name of the hash, ":", NUL, the digest
// (kernel: ima_template_lib.c, ima_eventdigest_init_common).
func parseDigest(field []byte) (pcr.Bank, []byte, error) {
	name, digest, ok := bytes.Cut(field, []byte(":\x00"))
	if !ok || len(name) == 0 || bytes.IndexByte(name, ':') >= 0 {
		return 0, nil, fmt.Errorf("%w: the digest does not begin with the name of its hash", ErrMalformed)
	}
	bank := bankOf(name)
	if bank.Known() && len(digest) != bank.Size() {
		return 0, nil, fmt.Errorf("%w: a %v digest of %d bytes", ErrMalformed, bank, len(digest))
	}
	return bank, digest, nil
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
