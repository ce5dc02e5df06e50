package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
)

// The compiled form of a policy is one byte string (little-endian):
//
//	offset 0    magic "QLpolicy"
//	       8    version u32 | CRC-32C of all that follows, u32
//	      16    SHA-256 of the policy's text
//	      48    paths that the text lists, u64
//	      56    sizes of the parts, 5 × u64
//	      96    zeros
//	     128    the parts, one after the other
//
// The parts are the sets of the shapes ShapeNG and ShapeSig, index and records of
// the table of paths, and the policy's text without digests, of which everything
// else is made again.
//
// The sum is against damage: who can write to the file could as well write to the
// policy. Nothing is read outside its part, though, whatever the parts hold.
const (
	magic = "QLpolicy"

	// FormVersion is the version of the compiled form, and of what compiling
	// means: a form is good for programs of the same version.
	FormVersion = 3

	formHeader = 128 // bytes; sets begin at a multiple of 64, so that a cache line holds two digests
)

// ErrForm is the error of Load.
var ErrForm = errors.New("not a compiled policy of this version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Compiled returns the policy's compiled form, some 180 bytes a path, 36 of which a judgement touches.
func (p *Policy) Compiled() []byte {
	parts := [...][]byte{p.part(ShapeNG), p.part(ShapeSig), p.files.index, p.files.records, p.others}
	size := formHeader
	for _, part := range parts {
		size += len(part)
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, FormVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b, _ = hex.AppendDecode(b, []byte(p.digest))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.paths))
	for _, part := range parts {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(part)))
	}
	b = b[:formHeader]
	for _, part := range parts {
		b = append(b, part...)
	}
	runtime.KeepAlive(p)
	return seal(b)
}

// seal writes the checksum.
func seal(form []byte) []byte {
	binary.LittleEndian.PutUint32(form[12:], crc32.Checksum(form[16:], castagnoli))
	return form
}

// Load makes a policy of its compiled form. It keeps b, which must stay as it is
// for as long as the policy can be reached. Hold, if not nil, is told of each set that
// is searched. The error wraps ErrForm if b is damaged, cut, or of another version.
func Load(b []byte, hold Hold) (*Policy, error) {
	parts, err := open(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	others := parts[len(parts)-1]
	if err := checkText(others); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	p, err := parse(others, [sha256.Size]byte(b[16:48]))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	p.hold = hold
	p.paths = int(binary.LittleEndian.Uint64(b[48:]))
	p.files.index, p.files.records = parts[2], parts[3]
	for i, shape := range stored {
		s, err := openSet(parts[i])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForm, err)
		}
		p.sets[shape].form = s
	}
	return p, nil
}

// open checks a compiled form and takes it apart.
func open(b []byte) (parts [5][]byte, err error) {
	switch {
	case len(b) < formHeader || string(b[:len(magic)]) != magic:
		return parts, errors.New("no header")
	case binary.LittleEndian.Uint32(b[8:]) != FormVersion:
		return parts, fmt.Errorf("version %d", binary.LittleEndian.Uint32(b[8:]))
	case binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[16:], castagnoli):
		return parts, errors.New("the checksum is another")
	}
	rest := b[formHeader:]
	for i := range parts {
		size := binary.LittleEndian.Uint64(b[56+8*i:])
		if size > uint64(len(rest)) {
			return parts, fmt.Errorf("part %d is cut", i)
		}
		parts[i], rest = rest[:size:size], rest[size:]
	}
	if len(rest) > 0 || !bytes.Equal(b[96:formHeader], make([]byte, formHeader-96)) {
		return parts, errors.New("more than the parts")
	}
	return parts, nil
}
