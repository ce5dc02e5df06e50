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

// Entry is one entry of the list. Its slices are parts of the bytes it was
// parsed from.
type Entry struct {
	PCR      uint32 // not covered by any digest
	Digest   []byte // 20 bytes; decides nothing but Violation
	Template []byte // the template's name; not covered by any digest
	Data     []byte // template data
}

// ParseEntry reads the entry at the start of b and returns its length in bytes.
// The error is ErrShort if b ends inside the entry and may be its beginning, and
// ErrMalformed if no further byte can make it an entry.
func ParseEntry(b []byte) (e Entry, n int, err error) {
	c := cursor{rest: b}
	e.PCR = c.u32()
	e.Digest = c.bytes(digestColumn)
	e.Template = c.field(MaxTemplateName)
	if !c.failed() && string(e.Template) == "ima" {
		return Entry{}, 0, fmt.Errorf("%w: the legacy template \"ima\" is not supported", ErrMalformed)
	}
	e.Data = c.field(MaxTemplateData)
	if c.err != nil {
		return Entry{}, 0, c.err
	}
	return e, len(b) - len(c.rest), nil
}

// AppendTo appends the entry as the kernel writes it.
func (e Entry) AppendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, e.PCR)
	b = append(b, e.Digest...)
	b = appendField(b, e.Template)
	return appendField(b, e.Data)
}

// Violation reports whether the entry records a violation: its digest column is
// all zero. The PCR proves it, for then 0xFF was extended (I16).
func (e Entry) Violation() bool { return [digestColumn]byte(e.Digest) == [digestColumn]byte{} }

// Extends returns what the entry extends a PCR of bank b with.
func (e Entry) Extends(b pcr.Bank) []byte {
	if !e.Violation() {
		return b.Sum(e.Data)
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

// cursor reads from the front of rest. After its first error every read returns
// nothing.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) failed() bool { return c.err != nil }

func (c *cursor) bytes(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.rest) {
		c.err = ErrShort
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u32() uint32 {
	b := c.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// field reads length u32 | bytes, of at most limit bytes.
func (c *cursor) field(limit int) []byte {
	n := c.u32()
	if c.err == nil && n > uint32(limit) {
		c.err = fmt.Errorf("%w: a field of %d bytes, limit is %d", ErrMalformed, n, limit)
	}
	return c.bytes(int(n))
}
