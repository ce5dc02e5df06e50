package store

import (
	"database/sql"
	"encoding/binary"
	"slices"
	"testing"

	"quicklime/ima"
)

// rawBlock is a block before it is compressed: two entries of the template ima-ng.
func rawBlock() []byte {
	b := append([]byte{2, 1, 0, 6}, "ima-ng"...)
	return append(b, 1, 1, 2, 3, 'a', 'b', 'c', 'd', 'e')
}

func packed(raw []byte) []byte { return seal(deflate(nil, raw)) }

// I10, I04: a block that is not one is an error, whatever of it is wrong.
func TestI04_I10_BlocksThatAreNone(t *testing.T) {
	good := packed(rawBlock())
	if b, err := unpack(7, good); err != nil || b.count() != 2 || string(b.data(1)) != "cde" {
		t.Fatal(err)
	}
	changed := func(at int, to byte) []byte {
		raw := rawBlock()
		raw[at] = to
		return packed(raw)
	}
	many := binary.AppendUvarint(nil, maxBlockEntries+1)
	many = append(many, 0)
	many = append(many, make([]byte, 2*(maxBlockEntries+1))...)
	long := append(binary.AppendUvarint([]byte{1, 0, 0}, ima.MaxTemplateData+1), make([]byte, ima.MaxTemplateData+1)...)
	legacy := append([]byte{1, 1, 0, 3}, "ima"...)
	legacy = append(legacy, 1, 2, 'a', 'b')
	wrongSum := slices.Clone(good)
	wrongSum[len(wrongSum)-1] ^= 1
	for name, b := range map[string][]byte{
		"empty":                   {},
		"another checksum":        wrongSum,
		"an unknown kind":         changed(10, 2),
		"no entries":              packed([]byte{0, 0}),
		"too many entries":        packed(many),
		"too long an entry":       packed(long),
		"one byte more":           packed(append(rawBlock(), 0)),
		"one byte less":           packed(rawBlock()[:len(rawBlock())-1]),
		"data that is not ima's":  packed(legacy),
		"bytes behind the stream": seal(append(deflate(nil, rawBlock()), 0)),
		"not compressed":          seal(rawBlock()),
	} {
		if got, err := unpack(1, b); err == nil {
			t.Errorf("%s: a block of %d entries", name, got.count())
		}
	}
	if _, err := inflate(nil, deflate(nil, make([]byte, 100)), 99); err == nil {
		t.Error("more than the limit is unpacked")
	}
}

// I10, I04: neither is a sequence.
func TestI04_I10_SequencesThatAreNone(t *testing.T) {
	read := func(b []byte) (all []int64, err error) {
		var s sequence
		if err := s.open(b); err != nil {
			return nil, err
		}
		for s.more() {
			n, _, err := s.next(nil)
			if err != nil {
				return nil, err
			}
			all = append(all, n...)
		}
		return all, nil
	}
	want := []int64{5, 6, 3, 5000}
	if got, err := read(appendSequence(nil, slices.Values(want))); err != nil || !slices.Equal(got, want) {
		t.Fatal(got, err)
	}
	wrongSum := appendSequence(nil, slices.Values(want))
	wrongSum[len(wrongSum)-1] ^= 1
	many := append(binary.AppendUvarint(nil, maxChunk+1), 0, 0)
	many = append(binary.AppendUvarint(many, maxChunk+1), slices.Repeat([]byte{2}, maxChunk+1)...)
	for name, b := range map[string][]byte{
		"empty":             {},
		"another checksum":  wrongSum,
		"no numbers":        seal([]byte{0, 0, 0, 0}),
		"too many numbers":  seal(many),
		"packed otherwise":  seal([]byte{1, 0, 2, 1, 2}),
		"more numbers":      seal([]byte{1, 0, 0, 2, 2, 2}),
		"fewer numbers":     seal([]byte{3, 0, 0, 2, 2, 2}),
		"number 0":          seal([]byte{1, 0, 0, 1, 0}),
		"a negative number": seal([]byte{1, 0, 0, 1, 1}),
		"half a number":     seal([]byte{1, 0, 0, 1, 0x80}),
		"half a span":       seal([]byte{1, 1, 0x80}),
		"no bytes":          seal([]byte{1, 0, 0, 5, 2}),
	} {
		if got, err := read(b); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// I10: the sequence of a segment has as many numbers as the segment says, and a
// block as many entries as its row.
func TestI10_CountsOfRowsAreHeld(t *testing.T) {
	for _, damage := range []string{
		`UPDATE segment SET count = count - 1`,
		`UPDATE segment SET count = count + 1`,
		`UPDATE segment SET count = count + 1; UPDATE state SET entries = entries + 1`,
		`UPDATE segment SET first = 1`,
		`UPDATE block SET count = 99`,
		`UPDATE block SET first = first + 1`,
		`UPDATE block SET bytes = (SELECT bytes FROM block b WHERE b.first <> block.first)`,
	} {
		g := newGarbageFleet(t)
		list := files(0, maxBlockEntries+100)
		if err := g.keep(0, g.add(list)); err != nil {
			t.Fatal(err)
		}
		g.exec(damage)
		st := g.standing(0)
		var r recorder
		if err := runStore(t, g.path).Visit(t.Context(), st, &r); err == nil {
			t.Errorf("%s: no error, %d entries", damage, len(r.entries))
		}
	}
}

// I16, I17: entries are one only if template, kind and data are, whatever the index
// says: its 48 bits can be of another.
func TestI16_I17_TheIndexIsNotBelieved(t *testing.T) {
	for _, n := range []int{10, maxFolded + 10} { // stored with the verdict, and before
		g := newGarbageFleet(t)
		first := files(0, 100)
		if err := g.keep(0, g.add(first)); err != nil {
			t.Fatal(err)
		}
		second := files(200, 200+n)
		var rows []indexed
		for i, u := range g.collect(second).unknown {
			for _, h := range u.kind.hashes(nil, u.id, u.data) {
				rows = append(rows, indexed{h, int64(i + 1)})
			}
		}
		if err := g.db.Write(t.Context(), func(tx *sql.Tx) error { return insertIndex(tx, rows) }); err != nil {
			t.Fatal(err)
		}
		if err := g.keep(1, g.add(second)); err != nil {
			t.Fatal(err)
		}
		g.has(1, second)
	}
}
