package store

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"quicklime/ima"
)

// Collection notes the entries that it is shown: of those that are known in memory
// the number, in a byte or two, of the others what has to be stored. It is an
// ima.Visitor, made by Collect; it is not for use by several goroutines at once.
type Collection struct {
	known      *known
	generation int64
	count      int
	numbers    []byte // of the known ones, differences as signed varints
	last       int64
	unknown    []unstored
	kinds      map[kindName]*kind
	kind       *kind // of the last entry
	room       []byte

	ids   []identity // of a batch
	found []int64
}

type kindName struct {
	template  string
	violation bool
}

// Collect returns an empty Collection.
func (s *Store) Collect() *Collection {
	return &Collection{known: s.known, generation: s.known.now()}
}

// Len is how many entries it was shown.
func (c *Collection) Len() int { return c.count }

// Visit implements ima.Visitor. It keeps nothing of the batch.
func (c *Collection) Visit(b ima.Batch) {
	for len(b.Entries) > batchEntries {
		c.visit(b.Entries[:batchEntries], b.Sums[:batchEntries])
		b.Entries, b.Sums = b.Entries[batchEntries:], b.Sums[batchEntries:]
	}
	c.visit(b.Entries, b.Sums)
}

func (c *Collection) visit(entries []ima.Entry, sums [][sha256.Size]byte) {
	if c.ids == nil {
		c.ids, c.found = make([]identity, batchEntries), make([]int64, batchEntries)
	}
	ids, found := c.ids[:len(entries)], c.found[:len(entries)]
	for i := range entries {
		ids[i] = c.kindOf(entries[i]).identify(&sums[i])
	}
	c.known.look(ids, found)
	for i, n := range found {
		if n == 0 {
			c.unknown = append(c.unknown, unstored{at: c.count + i, kind: c.kindOf(entries[i]), id: ids[i], data: c.keep(entries[i].Data)})
			continue
		}
		c.numbers = binary.AppendVarint(c.numbers, n-c.last)
		c.last = n
	}
	c.count += len(entries)
}

func (c *Collection) kindOf(e ima.Entry) *kind {
	if c.kind != nil && c.kind.is(e) {
		return c.kind
	}
	if c.kinds == nil {
		c.kinds = map[kindName]*kind{}
	}
	k := c.kinds[kindName{string(e.Template), e.Violation()}]
	if k == nil {
		made := newKind(string(e.Template), e.Violation())
		k = &made
		c.kinds[kindName{made.template, made.violation}] = k
	}
	c.kind = k
	return k
}

// keep returns a copy of data, in a piece with those of other entries.
func (c *Collection) keep(data []byte) []byte {
	if cap(c.room)-len(c.room) < len(data) {
		c.room = make([]byte, 0, max(len(data), min(2*cap(c.room), 256<<10), 1<<10))
	}
	start := len(c.room)
	c.room = append(c.room, data...)
	return c.room[start:len(c.room):len(c.room)]
}

// all yields the numbers of all entries in order; of is that of each unknown one.
func (c *Collection) all(of []int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		known, last := c.numbers, int64(0)
		unknown := c.unknown
		for i := range c.count {
			if len(unknown) > 0 && unknown[0].at == i {
				if !yield(of[len(of)-len(unknown)]) {
					return
				}
				unknown = unknown[1:]
				continue
			}
			d, n := binary.Varint(known)
			last += d
			known = known[n:]
			if !yield(last) {
				return
			}
		}
	}
}

// allKnown yields the numbers that were known from the beginning.
func (c *Collection) allKnown() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		var last int64
		for known := c.numbers; len(known) > 0; {
			d, n := binary.Varint(known)
			last += d
			known = known[n:]
			if !yield(last) {
				return
			}
		}
	}
}
