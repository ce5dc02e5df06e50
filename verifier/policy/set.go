package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"runtime"
	"slices"
)

// A set holds template digests. A member proves all that JudgeFile would find: to
// be in it, a template needs the SHA-256 of one that is listed. So the digests are
// there to the last bit, in n slots, in ascending order.
//
// A digest's home is its first 64 bits, scaled to the n - maxProbe homes. It lies in
// the first slot at or behind its home that no smaller one takes. What is left free
// before it holds it too; what is left behind the last holds ones, which nothing is
// known to hash to. So a search begins at home and ends at the first digest that is
// not smaller, mostly a few slots on, and who has the digest can have these fetched
// before they are looked at (see Near).
//
// A digest that would lie maxProbe slots from home is left out: chance makes none,
// and who looks for them with 2^50 hashes gets their files judged the slower way.
type set []byte

const (
	slotSize = sha256.Size

	// maxProbe bounds a search. With five of six slots filled, a digest lies k slots
	// from home with a probability of about 1.4^-k.
	maxProbe = 128

	// near is how many slots are looked at without a branch: eleven of twelve digests
	// lie there. It is what chain.Extend has fetched.
	near = 8
)

// newSet makes a set of digests, which it sorts.
func newSet(digests [][sha256.Size]byte) set {
	slices.SortFunc(digests, func(a, b [sha256.Size]byte) int {
		if c := cmp.Compare(lead(&a), lead(&b)); c != 0 {
			return c
		}
		return bytes.Compare(a[:], b[:])
	})
	digests = slices.Compact(digests)
	n := len(digests) + len(digests)/5 + 1 + maxProbe
	s := make(set, 0, n*slotSize)
	for i := range digests {
		home := homeOf(lead(&digests[i]), n)
		if free := s.slots(); free < home+maxProbe {
			s = s.fill(&digests[i], max(home, free)+1)
		}
	}
	return s.fill((*[sha256.Size]byte)(bytes.Repeat([]byte{0xff}, sha256.Size)), n)
}

// fill appends a digest until there are n slots.
func (s set) fill(digest *[sha256.Size]byte, n int) set {
	for s.slots() < n {
		s = append(s, digest[:]...)
	}
	return s
}

func (s set) slots() int { return len(s) / slotSize }

// lead is the first 64 bits of a digest, in the order of bytes.Compare.
func lead(digest *[sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(digest[:]) }

// homeOf returns the home of a digest with this lead among n slots.
func homeOf(lead uint64, n int) int {
	at, _ := bits.Mul64(lead, uint64(n-maxProbe))
	return int(at)
}

// has reports whether a digest is in the set.
func (s set) has(d *[sha256.Size]byte) bool {
	home := homeOf(lead(d), s.slots())
	for at := home; at < home+maxProbe; at++ {
		if c := bytes.Compare(s[at*slotSize:][:slotSize], d[:]); c >= 0 {
			return c == 0
		}
	}
	return false
}

// missing appends the indexes of the digests that are not in the set.
func (s set) missing(digests [][sha256.Size]byte, miss []uint16) []uint16 {
	n := s.slots()
	for i := range digests {
		d := &digests[i]
		l := lead(d)
		there := (*[near * slotSize]byte)(s[homeOf(l, n)*slotSize:])
		at := less(there[0*slotSize:], l) + less(there[1*slotSize:], l) + less(there[2*slotSize:], l) + less(there[3*slotSize:], l) +
			less(there[4*slotSize:], l) + less(there[5*slotSize:], l) + less(there[6*slotSize:], l)
		if !same(there[at*slotSize:], d) && !s.has(d) {
			miss = append(miss, uint16(i))
		}
	}
	return miss
}

// less returns 1 if a slot's digest has a smaller lead, else 0.
func less(slot []byte, lead uint64) uint64 {
	_, borrow := bits.Sub64(binary.BigEndian.Uint64(slot), lead, 0)
	return borrow
}

// same reports whether a slot holds d. It is a compare that makes no call.
func same(slot []byte, d *[sha256.Size]byte) bool {
	a, b := (*[sha256.Size]byte)(slot), binary.LittleEndian
	return b.Uint64(a[0:])^b.Uint64(d[0:])|(b.Uint64(a[8:])^b.Uint64(d[8:]))|
		(b.Uint64(a[16:])^b.Uint64(d[16:]))|(b.Uint64(a[24:])^b.Uint64(d[24:])) == 0
}

// Near returns the table in which Unlisted looks for sums, for chain.Extend; nil
// for no shape.
func (p *Policy) Near(shape Shape) []byte {
	if shape >= shapes {
		return nil
	}
	s := p.set(shape)
	return s[:len(s)-maxProbe*slotSize]
}

// Unlisted appends to miss the indexes of the sums, at most 1<<16, that are not the
// SHA-256 of the template of a file that the policy allows because it lists it.
// Files of which it is silent are allowed as far as the policy goes; JudgeFile
// judges the others, and may allow them too.
//
// The first call for a shape that is not in a compiled form takes about a second
// for a million paths. Others allocate nothing but what miss needs.
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

// set returns the set of a shape. Two that make it at one time make the same.
func (p *Policy) set(shape Shape) set {
	if s := p.sets[shape].Load(); s != nil {
		return *s
	}
	s := newSet(p.templateDigests(shape))
	p.sets[shape].CompareAndSwap(nil, &s)
	return *p.sets[shape].Load()
}
