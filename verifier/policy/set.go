package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"slices"

	"quicklime/ima/chain"
)

// A set holds template digests. A member proves all that JudgeFile would find: to
// be in it, a template needs the SHA-256 of one that is listed. So the digests are
// there to the last bit, in ascending order.
//
// The index has a number for each perNumber digests, and says in which slot a search
// begins: of a digest whose first 64 bits are the fraction f of 2^64, number f·n. All
// digests of a number lie from there up to where the next begins, mostly one or two.
// So what a search reads is known as soon as the digest is, and can be fetched
// meanwhile (see Near).
//
// As one byte string (little-endian), each part of which begins at a multiple of 64:
//
//	count of digests u64 | index, a u32 for each number and one for the end | slots
type set struct {
	bytes, index, slots []byte
	count               uint32 // of digests; behind them are near slots of ones, which nothing is known to hash to
}

const (
	slotSize   = sha256.Size
	perNumber  = 1 // digests, on average
	indexEntry = 4 // bytes
	cacheLine  = 64

	// near is how many slots are looked at without a branch: 97 of 100 digests lie there.
	// It is what chain.Register has fetched.
	near = 3
)

// numbers is how many an index has for so many digests.
func numbers(digests int) int { return digests/perNumber + 1 }

// newSet makes a set of digests, which it sorts.
func newSet(digests [][sha256.Size]byte) *set {
	slices.SortFunc(digests, func(a, b [sha256.Size]byte) int {
		if c := cmp.Compare(lead(&a), lead(&b)); c != 0 {
			return c
		}
		return bytes.Compare(a[:], b[:])
	})
	digests = slices.Compact(digests)
	n := numbers(len(digests))
	slotsAt := slotsAt(len(digests))
	b := make([]byte, slotsAt, slotsAt+(len(digests)+near)*slotSize)
	binary.LittleEndian.PutUint64(b, uint64(len(digests)))
	next := 0 // number whose begin is not known yet
	for i := range digests {
		for ; next <= numberOf(lead(&digests[i]), n); next++ {
			binary.LittleEndian.PutUint32(b[cacheLine+indexEntry*next:], uint32(i))
		}
		b = append(b, digests[i][:]...)
	}
	for ; next <= n; next++ {
		binary.LittleEndian.PutUint32(b[cacheLine+indexEntry*next:], uint32(len(digests)))
	}
	s, err := openSet(append(b, bytes.Repeat([]byte{0xff}, near*slotSize)...))
	if err != nil {
		panic(err) // more digests than a policy can have
	}
	return s
}

// slotsAt is the offset of the slots in a set of so many digests.
func slotsAt(digests int) int {
	end := cacheLine + indexEntry*(numbers(digests)+1)
	return (end + cacheLine - 1) / cacheLine * cacheLine
}

// openSet makes a set of its bytes. It checks the lengths: whatever else they hold,
// nothing is read that is not there.
func openSet(b []byte) (*set, error) {
	if len(b) < cacheLine {
		return nil, fmt.Errorf("a set of %d bytes", len(b))
	}
	count := binary.LittleEndian.Uint64(b)
	if count > uint64(len(b)/slotSize) || count > math.MaxUint32 || len(b) != slotsAt(int(count))+(int(count)+near)*slotSize {
		return nil, fmt.Errorf("a set of %d bytes for %d digests", len(b), count)
	}
	at := slotsAt(int(count))
	return &set{bytes: b, index: b[cacheLine : cacheLine+indexEntry*(numbers(int(count))+1)], slots: b[at:], count: uint32(count)}, nil
}

// lead is the first 64 bits of a digest, in the order of bytes.Compare.
func lead(digest *[sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(digest[:]) }

// numberOf returns which of n numbers a digest with this lead has.
func numberOf(lead uint64, n int) int {
	at, _ := bits.Mul64(lead, uint64(n))
	return int(at)
}

// begin returns the slot in which the digests of a number begin.
func (s *set) begin(number int) uint32 {
	return min(binary.LittleEndian.Uint32(s.index[indexEntry*number:]), s.count)
}

// has reports whether a digest is in the set.
func (s *set) has(d *[sha256.Size]byte) bool {
	number := numberOf(lead(d), numbers(int(s.count)))
	low, high := s.begin(number), s.begin(number+1)
	for low < high {
		middle := low + (high-low)/2
		switch c := bytes.Compare(s.slots[int(middle)*slotSize:][:slotSize], d[:]); {
		case c == 0:
			return true
		case c < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}

// missing appends the indexes of the digests that are not in the set.
func (s *set) missing(digests [][sha256.Size]byte, miss []uint16) []uint16 {
	for i := s.found(digests); i < len(digests); i += 1 + s.found(digests[i+1:]) {
		if !s.has(&digests[i]) {
			miss = append(miss, uint16(i))
		}
	}
	return miss
}

// found returns how many digests there are before the first that is not in the slots
// that are looked at without a branch.
func (s *set) found(digests [][sha256.Size]byte) int {
	index, slots, end, n := s.index, s.slots, s.count, uint64(numbers(int(s.count)))
	for i := range digests {
		d := wordsOf(&digests[i])
		lead := bits.ReverseBytes64(d.first)
		number, _ := bits.Mul64(lead, n)
		begin := min(binary.LittleEndian.Uint32(part(index, indexEntry*number, indexEntry)), end)
		there := part(slots, uint64(begin)*slotSize, near*slotSize)
		at := less(there[0*slotSize:], lead) + less(there[1*slotSize:], lead)
		if wordsOf((*[slotSize]byte)(part(there, at*slotSize, slotSize))) != d {
			return i
		}
	}
	return len(digests)
}

// part returns n bytes of b. The capacity is n, too: for a slice with more behind it the
// compiler compares more.
func part(b []byte, at, n uint64) []byte { return b[at : at+n : at+n] }

// less returns 1 if a slot's digest has a smaller lead, else 0.
func less(slot []byte, lead uint64) uint64 {
	_, borrow := bits.Sub64(binary.BigEndian.Uint64(slot), lead, 0)
	return borrow
}

// words are a digest's bytes. Unlike an array they are compared in registers.
type words struct{ first, second, third, fourth uint64 }

func wordsOf(d *[sha256.Size]byte) words {
	b := binary.LittleEndian
	return words{b.Uint64(d[0:]), b.Uint64(d[8:]), b.Uint64(d[16:]), b.Uint64(d[24:])}
}

// Near returns where Unlisted looks for sums, for chain.Register. It is valid for as long
// as p can be reached.
func (p *Policy) Near(shape Shape) chain.Near {
	if shape >= shapes {
		return chain.Near{}
	}
	s := p.set(shape)
	return chain.Near{Index: s.index[:len(s.index)-indexEntry], Slots: s.slots}
}

// Unlisted appends to miss the indexes of the sums, at most 1<<16, that are not the
// SHA-256 of the template of a file that the policy allows because it lists it.
// Files of which it is silent are allowed as far as the policy goes; JudgeFile
// judges the others, and may allow them too.
//
// The first call for a shape that is not in a compiled form takes about a second
// for a million paths, and for another as long as its Hold does. Others allocate
// nothing but what miss needs.
func (p *Policy) Unlisted(shape Shape, sums [][sha256.Size]byte, miss []uint16) []uint16 {
	if shape >= shapes {
		for i := range sums {
			miss = append(miss, uint16(i))
		}
		return miss
	}
	miss = p.set(shape).missing(sums, miss)
	runtime.KeepAlive(p) // see Load
	return miss
}
