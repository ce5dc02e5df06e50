package policy

import (
	"crypto/sha256"
	"encoding/binary"

	"quicklime/wire/pcr"
)

// Shape is how a template lays out the digest and path of a file that has no
// signature (kernel: security/integrity/ima/ima_template_lib.c), as a
// little-endian kernel writes it:
//
//	ShapeNG     field(alg ":" 0 ‖ digest) ‖ field(path ‖ 0)            ima-ng
//	ShapeSig    the same ‖ field()                                     ima-sig
//	ShapeNGv2   field("ima:" alg ":" 0 ‖ digest) ‖ field(path ‖ 0)     ima-ngv2
//	ShapeSigV2  the same ‖ field()                                     ima-sigv2
//
// where field(x) is the length of x as u32 ‖ x. An entry of another layout, or of
// a big-endian kernel, is in no set of template digests, and JudgeFile judges it.
type Shape uint8

// The shapes.
const (
	ShapeNG Shape = iota
	ShapeSig
	ShapeNGv2
	ShapeSigV2

	shapes
)

// stored are the shapes whose sets are in a compiled form; those of other shapes
// are made when first asked for.
var stored = [...]Shape{ShapeNG, ShapeSig}

// appendData appends what a template hashes for a file.
func (s Shape) appendData(b []byte, bank pcr.Bank, digest, path []byte) []byte {
	algorithm := bank.String() + ":\x00"
	if s == ShapeNGv2 || s == ShapeSigV2 {
		algorithm = "ima:" + algorithm
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(algorithm)+len(digest)))
	b = append(append(b, algorithm...), digest...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(path)+1))
	b = append(append(b, path...), 0)
	if s == ShapeSig || s == ShapeSigV2 {
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	return b
}

// templateDigests returns the digests of the templates of every file that the
// policy allows without a look at anything but its lists.
func (p *Policy) templateDigests(shape Shape) [][sha256.Size]byte {
	all := make([][sha256.Size]byte, 0, p.files.names)
	var data []byte
	p.files.each(func(path []byte, s sums) {
		if string(path) == BootAggregate { // not a file
			return
		}
		for len(s) > 0 {
			var bank pcr.Bank
			var digest []byte
			if bank, digest, s = s.next(); p.denied(path, bank, digest) {
				continue
			}
			data = shape.appendData(data[:0], bank, digest, path)
			all = append(all, sha256.Sum256(data))
		}
	})
	return all
}

// denied reports whether a rule forbids a file that is listed.
func (p *Policy) denied(path []byte, bank pcr.Bank, digest []byte) bool {
	return p.Denies(path, bank, digest) != DeniedNothing
}
