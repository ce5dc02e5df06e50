package store

import (
	"encoding/binary"
	"iter"
	"slices"
)

// spanBits says how many numbers make a span, 1024: a chunk says which spans it
// has numbers of, so that a search unpacks few.
const spanBits = 10

// appendSequence encodes the numbers of entries in chunks of maxChunk, the last of
// which may be shorter, and after them the CRC-32C of all. A chunk is
//
//	count uvarint | spans uvarint | spans × difference to the span before uvarint
//	packed u8 | size uvarint | bytes
//
// and its bytes are the difference of each number to the one before as a signed
// varint, by DEFLATE if they are packed.
func appendSequence(to []byte, numbers iter.Seq[int64]) []byte {
	start := len(to)
	chunk := make([]int64, 0, maxChunk)
	for n := range numbers {
		if chunk = append(chunk, n); len(chunk) == maxChunk {
			to, chunk = appendChunk(to, chunk), chunk[:0]
		}
	}
	if len(chunk) > 0 {
		to = appendChunk(to, chunk)
	}
	return append(to[:start], seal(to[start:])...)
}

func appendChunk(to []byte, numbers []int64) []byte {
	var raw []byte
	var last int64
	spans := make([]int64, len(numbers))
	for i, n := range numbers {
		raw = binary.AppendVarint(raw, n-last)
		last = n
		spans[i] = n >> spanBits
	}
	slices.Sort(spans)
	spans = slices.Compact(spans)
	to = binary.AppendUvarint(to, uint64(len(numbers)))
	to = binary.AppendUvarint(to, uint64(len(spans)))
	last = 0
	for _, s := range spans {
		to = binary.AppendUvarint(to, uint64(s-last))
		last = s
	}
	packed := byte(0)
	if b := deflate(nil, raw); len(b) < len(raw) {
		packed, raw = 1, b
	}
	to = binary.AppendUvarint(append(to, packed), uint64(len(raw)))
	return append(to, raw...)
}

// sequence reads the chunks of an encoded sequence.
type sequence struct {
	r       reader
	raw     []byte
	spans   []int64
	numbers []int64
}

// open begins with another sequence.
func (s *sequence) open(b []byte) error {
	b, ok := unseal(b)
	if !ok {
		return errDamaged
	}
	s.r = reader{rest: b}
	return nil
}

// more reports whether there is another chunk.
func (s *sequence) more() bool { return len(s.r.rest) > 0 }

// next returns the numbers of the next chunk until it is called again, or nil if
// wanted says of its spans, which ascend, that nobody wants them; and in any case
// how many there are.
func (s *sequence) next(wanted func(spans []int64) bool) (numbers []int64, count int, err error) {
	count = s.r.uvarint(maxChunk)
	s.spans = s.spans[:0]
	var last int64
	for range s.r.uvarint(maxChunk) {
		v, n := binary.Uvarint(s.r.rest)
		if n <= 0 {
			return nil, 0, errDamaged
		}
		s.r.rest = s.r.rest[n:]
		last += int64(v)
		s.spans = append(s.spans, last)
	}
	packed := s.r.byte()
	raw := s.r.bytes(s.r.uvarint(maxChunk * binary.MaxVarintLen64))
	if s.r.failed || count == 0 || packed > 1 {
		return nil, 0, errDamaged
	}
	if wanted != nil && !wanted(s.spans) {
		return nil, count, nil
	}
	if packed == 1 {
		if s.raw, err = inflate(s.raw[:0], raw, maxChunk*binary.MaxVarintLen64); err != nil {
			return nil, 0, err
		}
		raw = s.raw
	}
	numbers, err = s.differences(raw, count)
	return numbers, count, err
}

func (s *sequence) differences(raw []byte, count int) ([]int64, error) {
	s.numbers = s.numbers[:0]
	var last int64
	for len(raw) > 0 {
		if d := raw[0]; d < 0x80 { // binary.Varint of one byte
			last += int64(d>>1) ^ -int64(d&1)
			raw = raw[1:]
		} else {
			d, n := binary.Varint(raw)
			if n <= 0 {
				return nil, errDamaged
			}
			last += d
			raw = raw[n:]
		}
		if last <= 0 || len(s.numbers) == count {
			return nil, errDamaged
		}
		s.numbers = append(s.numbers, last)
	}
	if len(s.numbers) != count {
		return nil, errDamaged
	}
	return s.numbers, nil
}
