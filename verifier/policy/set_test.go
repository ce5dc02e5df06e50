package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// digests makes n digests that depend on seed.
func digests(n int, seed uint64) [][sha256.Size]byte {
	all := make([][sha256.Size]byte, n)
	for i := range all {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], seed)
		binary.LittleEndian.PutUint64(b[8:], uint64(i))
		all[i] = sha256.Sum256(b[:])
	}
	return all
}

// in reports whether s has d, which missing and has must agree on.
func in(t *testing.T, s *set, d [sha256.Size]byte) bool {
	t.Helper()

	found := s.has(&d)
	if missing := s.missing([][sha256.Size]byte{d}, nil); found != (len(missing) == 0) {
		t.Fatalf("%x: has says %v, missing %v", d, found, missing)
	}
	return found
}

func TestSetHasItsDigestsAndNoOther(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 100, 10_000} {
		members, others := digests(n, 1), digests(max(n, 100), 2)
		s := newSet(slices.Concat(members, members[:n/2]))
		for _, d := range members {
			if !in(t, s, d) {
				t.Fatalf("of %d, %x is not in it", n, d)
			}
		}
		for _, d := range others {
			if in(t, s, d) {
				t.Fatalf("of %d, %x is in it", n, d)
			}
		}
		for _, b := range []byte{0, 1, 0xfe} {
			if in(t, s, [sha256.Size]byte(bytes.Repeat([]byte{b}, sha256.Size))) {
				t.Errorf("of %d, 32 × %d is in it", n, b)
			}
		}
	}
}

// Every bit of a digest counts: a digest that differs from a member in one is none.
func TestI24_SetComparesWholeDigests(t *testing.T) {
	members := digests(1000, 1)
	s := newSet(slices.Clone(members))
	for _, d := range members[:50] {
		for bit := range 8 * sha256.Size {
			other := d
			other[bit/8] ^= 1 << (bit % 8)
			if in(t, s, other) {
				t.Fatalf("%x with bit %d flipped is in the set", d, bit)
			}
		}
	}
}

// Digests that someone has chosen to lie at one place are all there, and cost no more
// than the logarithm of how many they are.
func TestSetOfACrowd(t *testing.T) {
	crowd := digests(1000, 1)
	for i := range crowd {
		copy(crowd[i][:8], "\x80\x00\x00\x00\x00\x00\x00\x00")
	}
	others := digests(1000, 2)
	s := newSet(slices.Concat(crowd[:500], others))
	for _, d := range slices.Concat(crowd[:500], others) {
		if !in(t, s, d) {
			t.Errorf("%x is not in the set", d)
		}
	}
	for _, d := range crowd[500:] {
		if in(t, s, d) {
			t.Errorf("%x is in the set", d)
		}
	}
}

// The extremes of the space of digests have homes as any other.
func TestSetAtItsEnds(t *testing.T) {
	var members [][sha256.Size]byte
	for i := range 100 {
		var low, high [sha256.Size]byte
		low[sha256.Size-2], low[sha256.Size-1] = 1, byte(i)
		for j := range high {
			high[j] = 0xff
		}
		high[sha256.Size-1] = byte(i)
		members = append(members, low, high)
	}
	s := newSet(slices.Clone(members))
	for _, d := range members {
		if !in(t, s, d) {
			t.Errorf("%x is not in the set", d)
		}
	}
}

// A batch of any size is answered in order, however many are looked for at a time.
func TestSetMissing(t *testing.T) {
	members, others := digests(500, 1), digests(500, 2)
	s := newSet(slices.Clone(members))
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		var batch [][sha256.Size]byte
		want := []uint16{7}
		for i := range n {
			if r.IntN(2) == 0 {
				batch = append(batch, members[r.IntN(len(members))])
				continue
			}
			batch = append(batch, others[r.IntN(len(others))])
			want = append(want, uint16(i))
		}
		if got := s.missing(batch, []uint16{7}); !slices.Equal(got, want) {
			t.Fatalf("of %d: %v, want %v", n, got, want)
		}
	}
}
