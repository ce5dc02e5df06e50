package store

import (
	"context"
	"crypto/sha256"
	"fmt"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// segment is a part of a stored list.
type segment struct {
	first, count int64
	entries      []byte
}

// Visit shows v the certified entries of st's epoch in order. Their digest column
// is the SHA-1 of their data, or zero for a violation, whatever it was in the list.
// That all digests together make the certified PCR is for v to see.
func (s *Store) Visit(ctx context.Context, st Standing, v ima.Visitor) error {
	segments, err := s.segments(ctx, st)
	if err != nil {
		return err
	}
	w := walk{ctx: ctx, store: s, visitor: v}
	for _, seg := range segments {
		if err := w.segment(seg); err != nil {
			return fmt.Errorf("entries from %d on: %w", seg.first, err)
		}
	}
	w.show()
	return nil
}

// segments returns the parts of the list of st's epoch, which follow one another
// from its beginning to its end.
func (s *Store) segments(ctx context.Context, st Standing) (all []segment, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT first, count, entries FROM segment JOIN list ON list.id = segment.list
		WHERE enrolment = ? AND epoch = ? AND first < ? ORDER BY first`, st.Enrolment, st.EpochID, int64(st.Resume.Entries()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var stored int64
	for rows.Next() {
		var seg segment
		if err := rows.Scan(&seg.first, &seg.count, &seg.entries); err != nil {
			return nil, err
		}
		if seg.first != stored {
			return nil, fmt.Errorf("entry %d is not stored, but entry %d is", stored, seg.first)
		}
		stored += seg.count
		all = append(all, seg)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if uint64(stored) != st.Resume.Entries() {
		return nil, fmt.Errorf("%d entries are stored of a list of %d", stored, st.Resume.Entries())
	}
	return all, nil
}

// walk goes through a stored list.
type walk struct {
	ctx      context.Context
	store    *Store
	visitor  ima.Visitor
	sequence sequence
	recent   [4]*block // a list goes to and fro between few
	oldest   int

	first   uint64 // of the batch
	entries []ima.Entry
	sums    [][sha256.Size]byte
}

func (w *walk) segment(seg segment) error {
	if err := w.sequence.open(seg.entries); err != nil {
		return err
	}
	left := seg.count
	for w.sequence.more() {
		numbers, count, err := w.sequence.next(nil)
		if err != nil {
			return err
		}
		if left -= int64(count); left < 0 {
			return errDamaged
		}
		if err := w.chunk(numbers); err != nil {
			return err
		}
	}
	if left != 0 {
		return errDamaged
	}
	return nil
}

func (w *walk) chunk(numbers []int64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	for _, n := range numbers {
		if err := w.add(n); err != nil {
			return err
		}
	}
	return nil
}

// add shows a stored entry.
func (w *walk) add(n int64) error {
	b, err := w.block(n)
	if err != nil {
		return err
	}
	e, sum, ok := b.entry(n)
	if !ok {
		return fmt.Errorf("entry number %d: %w", n, ErrNotFound)
	}
	w.append(e, *sum)
	return nil
}

// addUnstored shows an entry that is not stored yet.
func (w *walk) addUnstored(u *unstored) {
	column := u.kind.column(u.data)
	w.append(ima.Entry{PCR: pcr.IMA, Digest: column[:], Template: []byte(u.kind.template), Data: u.data}, u.kind.sum(u.data))
}

func (w *walk) append(e ima.Entry, sum [sha256.Size]byte) {
	w.entries, w.sums = append(w.entries, e), append(w.sums, sum)
	if len(w.entries) == batchEntries {
		w.show()
	}
}

func (w *walk) block(n int64) (*block, error) {
	for _, b := range &w.recent {
		if b != nil && b.has(n) {
			return b, nil
		}
	}
	b, err := w.store.block(w.ctx, n)
	if err == nil {
		w.recent[w.oldest] = b
		w.oldest = (w.oldest + 1) % len(w.recent)
	}
	return b, err
}

func (w *walk) show() {
	if len(w.entries) == 0 {
		return
	}
	w.visitor.Visit(ima.Batch{First: w.first, Entries: w.entries, Sums: w.sums})
	w.first += uint64(len(w.entries))
	w.entries, w.sums = w.entries[:0], w.sums[:0]
}

// VisitSequence shows v the entries of a sequence that AddEntries returned, whether
// they are stored yet or not; first is the index of the first one in its list.
func (s *Store) VisitSequence(ctx context.Context, q Sequence, first uint64, v ima.Visitor) error {
	w := walk{ctx: ctx, store: s, visitor: v, first: first}
	unknown := 0
	i := 0
	for n := range q.all() {
		c := q.collection
		isUnknown := unknown < len(c.unknown) && c.unknown[unknown].at == i
		if isUnknown {
			unknown++
		}
		if i++; n == 0 && isUnknown {
			w.addUnstored(&c.unknown[unknown-1])
			continue
		}
		if err := w.add(n); err != nil {
			return err
		}
	}
	w.show()
	return nil
}
