package ima

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"quicklime/wire/pcr"
)

// digestColumn is the length of the template digest column, SHA-1 whatever the
// banks are.
const digestColumn = 20

// Legacy is the name of the template that is written and hashed in another way
// than all others.
const Legacy = "ima"

// legacyHashed is the length of what an entry of the legacy template hashes.
const legacyHashed = digestColumn + MaxLegacyName + 1

// Entry is one entry of the list. Its slices are parts of the bytes it was
// parsed from.
type Entry struct {
	PCR      uint32 // not covered by any digest
	Digest   []byte // 20 bytes; decides nothing but Violation
	Template []byte // the template's name; not covered by any digest
	Data     []byte // template data, as it is written
}

// ParseEntry reads the entry at the start of b and returns its length in bytes.
// The error is ErrShort if b ends inside the entry and may be its beginning, and
// ErrMalformed if no further byte can make it an entry.
func ParseEntry(b []byte) (e Entry, n int, err error) {
	if n, err = e.parse(b); err != nil {
		return Entry{}, 0, err
	}
	return e, n, nil
}

// parse is ParseEntry that spares a copy. After an error e is nothing.
func (e *Entry) parse(b []byte) (n int, err error) {
	const name = 4 + digestColumn // offset of the name's length
	from, to, err := field(b, name, MaxTemplateName)
	if err != nil {
		return 0, err
	}
	e.PCR = binary.LittleEndian.Uint32(b)
	e.Digest = b[4:name:name]
	e.Template = b[from:to:to]
	if isLegacy(e.Template) {
		e.Data, err = legacy(b[to:])
		return to + len(e.Data), err
	}
	from, to, err = field(b, to, MaxTemplateData)
	if err != nil {
		return 0, err
	}
	e.Data = b[from:to:to]
	return to, nil
}

// Legacy reports whether the entry is of the legacy template.
func (e Entry) Legacy() bool { return isLegacy(e.Template) }

func isLegacy(template []byte) bool { return string(template) == Legacy }

// AppendTo appends the entry as the kernel writes it.
func (e Entry) AppendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, e.PCR)
	b = append(b, e.Digest...)
	b = appendField(b, e.Template)
	if e.Legacy() {
		return append(b, e.Data...)
	}
	return appendField(b, e.Data)
}

// size is the length that AppendTo appends.
func (e Entry) size() uint64 {
	n := 4 + digestColumn + 4 + len(e.Template) + len(e.Data)
	if !e.Legacy() {
		n += 4
	}
	return uint64(n)
}

// Violation reports whether the entry records a violation: its digest column is
// all zero. The PCR proves it, for then 0xFF was extended (I16).
func (e Entry) Violation() bool { return isViolation(e.Digest) }

func isViolation(digest []byte) bool {
	return digest[0] == 0 && [digestColumn]byte(digest) == [digestColumn]byte{} // the first alone decides nearly always
}

// AppendHashed appends what the template hashes (kernel: security/integrity/ima/
// ima_crypto.c, ima_calc_field_array_hash_tfm).
func (e Entry) AppendHashed(b []byte) []byte {
	if !e.Legacy() {
		return append(b, e.Data...)
	}
	end := len(b) + legacyHashed
	b = append(b, e.Data[:digestColumn]...)
	b = append(b, e.Data[digestColumn+4:]...)
	for len(b) < end {
		b = append(b, 0)
	}
	return b
}

// hashed is AppendHashed that copies nothing unless it has to.
func (e Entry) hashed(scratch *[legacyHashed]byte) []byte {
	if !e.Legacy() {
		return e.Data
	}
	return e.AppendHashed(scratch[:0])
}

// Extends returns what the entry extends a PCR of bank b with, by a kernel that
// has the bank's hash.
func (e Entry) Extends(b pcr.Bank) []byte {
	if !e.Violation() {
		return b.Sum(e.hashed(new([legacyHashed]byte)))
	}
	return bytes.Clone(violation[:b.Size()])
}

// NewFileEntry makes the ima-ng entry that a kernel writes for a file: digest in
// the hash named by algorithm, and path.
func NewFileEntry(algorithm pcr.Bank, digest []byte, path string) Entry {
	data := appendField(nil, append([]byte(algorithm.String()+":\x00"), digest...))
	data = appendField(data, append([]byte(path), 0))
	return Entry{PCR: pcr.IMA, Digest: pcr.SHA1.Sum(data), Template: []byte("ima-ng"), Data: data}
}

func appendField(b, field []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

// field finds length u32 | bytes, of at most limit bytes, at an offset of b.
func field(b []byte, at, limit int) (from, to int, err error) {
	from = at + 4
	if len(b) < from {
		return 0, 0, ErrShort
	}
	n := binary.LittleEndian.Uint32(b[at:])
	if n > uint32(limit) {
		return 0, 0, tooLong(n, limit)
	}
	if to = from + int(n); len(b) < to {
		return 0, 0, ErrShort
	}
	return from, to, nil
}

func tooLong(n uint32, limit int) error {
	return fmt.Errorf("%w: a field of %d bytes, limit is %d", ErrMalformed, n, limit)
}

// legacy reads digest [20]byte | length u32 | name, and returns all of it. A name
// with a NUL would hash as a shorter one (I16).
func legacy(b []byte) ([]byte, error) {
	from, to, err := field(b, digestColumn, MaxLegacyName)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(b[from:to], 0) >= 0 {
		return nil, fmt.Errorf("%w: template %q: a name with a NUL", ErrMalformed, Legacy)
	}
	return b[:to:to], nil
}
