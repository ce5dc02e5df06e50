package store

import (
	"errors"
	"fmt"
	"math/bits"
)

// marks are the numbers that some sequence refers to, by thousands: a bit for
// each.
type marks map[int64]*[1 << spanBits / 64]uint64

func (m marks) add(n int64) {
	page := m[n>>spanBits]
	if page == nil {
		page = new([1 << spanBits / 64]uint64)
		m[n>>spanBits] = page
	}
	at := n & (1<<spanBits - 1)
	page[at/64] |= 1 << (at % 64)
}

func (m marks) has(n int64) bool {
	page := m[n>>spanBits]
	at := n & (1<<spanBits - 1)
	return page != nil && page[at/64]>>(at%64)&1 == 1
}

// count is how many of count numbers from first on are marked.
func (m marks) count(first, count int64) (marked int64) {
	for n := first; n < first+count; {
		if page := m[n>>spanBits]; page != nil && n%64 == 0 && first+count-n >= 64 {
			marked += int64(bits.OnesCount64(page[n&(1<<spanBits-1)/64]))
			n += 64
			continue
		}
		if m.has(n) {
			marked++
		}
		n++
	}
	return marked
}

// sequence marks the numbers of an encoded sequence.
func (m marks) sequence(s *sequence, b []byte) error {
	if err := s.open(b); err != nil {
		return err
	}
	for s.more() {
		numbers, _, err := s.next(nil)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			m.add(n)
		}
	}
	return nil
}

// damage counts records that cannot be read, and knows the first.
type damage struct {
	first error
	count int
}

func (d *damage) add(err error) {
	if d.count++; d.count == 1 {
		d.first = err
	}
}

func (d *damage) err() error {
	if d.count < 2 {
		return d.first
	}
	return errors.Join(d.first, fmt.Errorf("and %d more", d.count-1))
}
