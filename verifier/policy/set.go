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
// there to the last bit; the rest only saves time. It is one byte string:
//
//	n slots of a digest | n tags u8
//
// A digest's home is its first 64 bits, scaled to the n - maxProbe homes. Digests lie
// in ascending order, each in the first free slot at or behind its home. The tag of
// a slot is its digest's last byte, 1 for 0, and 0 if the slot is empty, where a
// search ends: the tags of a million digests nearly fit into a core's cache, and
// they lead to the one slot that is worth a look.
//
// A digest that would lie maxProbe slots from home is left out: chance makes none,
// and who looks for them with 2^50 hashes gets their files judged the slower way.
type set []byte

const (
	slotSize = sha256.Size + 1 // with its tag

	// maxProbe bounds a search. With five of six slots filled, a digest lies k slots
	// from home with a probability of about 1.4^-k.
	maxProbe = 128

	// ahead is how many searches are begun before the first is gone on with: more
	// than a core has cache misses under way at a time.
	ahead = 64
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
	s := make(set, (len(digests)+len(digests)/5+1+maxProbe)*slotSize)
	slots, tags := s.parts()
	free := 0
	for i := range digests {
		home := homeOf(lead(&digests[i]), len(tags))
		if at := max(home, free); at < home+maxProbe {
			copy(slots[at*sha256.Size:], digests[i][:])
			tags[at] = tag(&digests[i])
			free = at + 1
		}
	}
	return s
}

func (s set) parts() (slots, tags []byte) {
	n := len(s) / slotSize
	return s[:n*sha256.Size], s[n*sha256.Size:][:n]
}

// lead is the first 64 bits of a digest, in the order of bytes.Compare.
func lead(digest *[sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(digest[:]) }

func tag(digest *[sha256.Size]byte) uint8 { return max(1, digest[sha256.Size-1]) }

// homeOf returns the home of a digest with this lead among n slots.
func homeOf(lead uint64, n int) int {
	at, _ := bits.Mul64(lead, uint64(n-maxProbe))
	return int(at)
}

// Eight tags are looked at as one word.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// zeros has the top bit of the first byte of w that is 0, and bits of bytes behind
// it that may be. It is 0 if there is none.
func zeros(w uint64) uint64 { return (w - ones) & ^w & tops }

// has reports whether a digest is among the slots.
func has(slots, tags []byte, d *[sha256.Size]byte) bool {
	want := ones * uint64(tag(d))
	home := homeOf(lead(d), len(tags))
	for from := home; from < home+maxProbe; from += 8 {
		w := binary.LittleEndian.Uint64(tags[from:])
		for like := zeros(w ^ want); like != 0; like &= like - 1 {
			at := from + bits.TrailingZeros64(like)/8
			if *d == *slot(slots, at) {
				return true
			}
		}
		if zeros(w) != 0 {
			return false
		}
	}
	return false
}

func slot(slots []byte, at int) *[sha256.Size]byte {
	return (*[sha256.Size]byte)(slots[at*sha256.Size:])
}

// missing appends the indexes of the digests that are not in the set. It looks for
// many at a time, first at the tags, then at the slots: they lie all over memory, and
// a core fetches a dozen at once if none waits for another.
func (s set) missing(digests [][sha256.Size]byte, miss []uint16) []uint16 {
	slots, tags := s.parts()
	var likely [ahead]int // the slot of the first tag that is alike
	var there [ahead]uint64
	for from := 0; from < len(digests); from += ahead {
		part := digests[from:min(from+ahead, len(digests))]
		for i := range part {
			likely[i] = homeOf(lead(&part[i]), len(tags))
			there[i] = binary.LittleEndian.Uint64(tags[likely[i]:])
		}
		for i := range part {
			like := zeros(there[i] ^ ones*uint64(tag(&part[i])))
			likely[i] += bits.TrailingZeros64(like|1<<63) / 8
			there[i] = lead(slot(slots, likely[i]))
		}
		for i := range part {
			d := &part[i]
			here := there[i] == lead(d) && *d == *slot(slots, likely[i]) && tags[likely[i]] == tag(d) // an empty slot is no digest
			if !here && !has(slots, tags, d) {
				miss = append(miss, uint16(from+i))
			}
		}
	}
	return miss
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
