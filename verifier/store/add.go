package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// queryer is a pool of connections or a transaction.
type queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// Sequence is which entries a list has, in order, on its way to Commit. The zero
// Sequence has none.
type Sequence struct {
	collection *Collection
	numbers    []int64 // of the collection's unknown ones; 0: Commit stores it
	generation int64   // all numbers were good in it
	encoded    []byte  // nil: Commit does it
}

// Len is how many entries it has.
func (q Sequence) Len() int {
	if q.collection == nil {
		return 0
	}
	return q.collection.count
}

// all yields the numbers of its entries, 0 of those that Commit stores.
func (q Sequence) all() iter.Seq[int64] {
	if q.collection == nil {
		return func(func(int64) bool) {}
	}
	return q.collection.all(q.numbers)
}

// ErrCollected says that entries that a Collection knew the numbers of are not
// stored any more, so that the list has to be collected again.
var ErrCollected = errors.New("entries are not stored any more")

// AddEntries stores what a collection has that is not stored yet, unless it is so
// little that Commit does, and returns the sequence of all. That an entry is
// stored says nothing about any machine. The error is ErrCollected if the list has
// to be collected again.
func (s *Store) AddEntries(ctx context.Context, c *Collection) (Sequence, error) {
	q := Sequence{collection: c, numbers: make([]int64, len(c.unknown))}
	var err error
	if q.generation, err = generation(ctx, s.db.Read()); err != nil {
		return Sequence{}, err
	}
	s.known.renew(q.generation)
	if q.generation != c.generation {
		if err := present(ctx, s.db.Read(), c.allKnown()); err != nil {
			return Sequence{}, err
		}
	}
	if err := s.addUnknown(ctx, q); err != nil {
		return Sequence{}, err
	}
	if !slices.Contains(q.numbers, 0) {
		q.encoded = appendSequence(nil, c.all(q.numbers))
	}
	return q, nil
}

// generation returns how often entries were collected.
func generation(ctx context.Context, db queryer) (g int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT generation FROM numbering`).Scan(&g)
	return g, err
}

// present looks whether all entries are stored.
func present(ctx context.Context, db queryer, numbers iter.Seq[int64]) error {
	var last []*block
	for n := range numbers {
		b := holder(last, n)
		if b == nil {
			var err error
			if b, err = readBlock(ctx, db, n); errors.Is(err, ErrNotFound) {
				return fmt.Errorf("%w: number %d", ErrCollected, n)
			} else if err != nil {
				return err
			}
			last = append(last, b)
		}
		if b.kind(int(n-b.first)) == nil {
			return fmt.Errorf("%w: number %d", ErrCollected, n)
		}
	}
	return nil
}

// holder returns which of some blocks has the number n, the last of them first.
func holder(blocks []*block, n int64) *block {
	for _, b := range slices.Backward(blocks) {
		if b.has(n) {
			return b
		}
	}
	return nil
}

// addUnknown sets the numbers of what was unknown, but for a few that are new.
// Machines that boot the same image at once do not all store it: who has much
// waits for the one before.
func (s *Store) addUnknown(ctx context.Context, q Sequence) error {
	missing := s.stillUnknown(q)
	if len(missing) > maxFolded {
		select {
		case s.adding <- struct{}{}:
			defer func() { <-s.adding }()
		case <-ctx.Done():
			return ctx.Err()
		}
		missing = s.stillUnknown(q)
	}
	missing, err := s.lookUp(ctx, q, missing)
	if err != nil || q.few(missing) {
		return err
	}
	return s.store(ctx, q, missing)
}

// few reports whether entries can be stored with the verdict, in one block.
func (q Sequence) few(missing []int) bool {
	size := 0
	for _, u := range missing {
		size += len(q.collection.unknown[u].data)
	}
	return len(missing) <= maxFolded && size <= maxBlockData/4
}

// stillUnknown sets the numbers that are known by now and returns the indexes of
// the others.
func (s *Store) stillUnknown(q Sequence) (missing []int) {
	ids := make([]identity, len(q.numbers))
	for i := range ids {
		ids[i] = q.collection.unknown[i].id
	}
	if s.known.now() == q.generation {
		s.known.look(ids, q.numbers)
	}
	for i, n := range q.numbers {
		if n == 0 {
			missing = append(missing, i)
		}
	}
	return missing
}

// lookUp sets the numbers of entries that are stored, and returns the indexes of
// the others.
func (s *Store) lookUp(ctx context.Context, q Sequence, unknown []int) (missing []int, err error) {
	for batch := range slices.Chunk(unknown, maxBlockEntries) {
		hashes := make([]int64, len(batch))
		for i, u := range batch {
			hashes[i] = q.collection.unknown[u].id.hash()
		}
		candidates, err := find(ctx, s.db.Read(), hashes)
		if err != nil {
			return nil, err
		}
		for i, u := range batch {
			for _, n := range candidates[hashes[i]] {
				if s.isStored(ctx, &q.collection.unknown[u], n) {
					q.numbers[u] = n
				}
			}
			if q.numbers[u] == 0 {
				missing = append(missing, u)
			} else {
				s.known.add(q.generation, q.collection.unknown[u].id, q.numbers[u])
			}
		}
	}
	return missing, nil
}

// isStored reports whether an entry is stored under a number. A block that cannot
// be read has it not: it breaks no list but those that refer to it (I10).
func (s *Store) isStored(ctx context.Context, u *unstored, n int64) bool {
	b, err := s.block(ctx, n)
	return err == nil && u.same(b, int(n-b.first))
}

// find returns the numbers that the index has for hashes.
func find(ctx context.Context, db queryer, hashes []int64) (map[int64][]int64, error) {
	list, err := json.Marshal(hashes)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT hash, entry FROM entry_index WHERE hash IN (SELECT value FROM json_each(?))`, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[int64][]int64, len(hashes))
	for rows.Next() {
		var hash, n int64
		if err := rows.Scan(&hash, &n); err != nil {
			return nil, err
		}
		found[hash] = append(found[hash], n)
	}
	return found, rows.Err()
}

// store stores entries by the index, one that comes twice under one number.
func (s *Store) store(ctx context.Context, q Sequence, missing []int) error {
	numbers := map[identity]int64{}
	for len(missing) > 0 {
		var a addition
		n := 0
		for ; n < len(missing); n++ {
			u := &q.collection.unknown[missing[n]]
			if _, twice := numbers[u.id]; twice {
				continue
			}
			if !a.add(u) {
				break
			}
			numbers[u.id] = 0
		}
		if len(a.which) > 0 {
			a.seal()
			if err := s.db.Write(ctx, a.insert); err != nil {
				return err
			}
		}
		for i, id := range a.ids {
			numbers[id] = a.first + int64(i)
		}
		s.remember(q.generation, &a)
		for _, u := range missing[:n] {
			q.numbers[u] = numbers[q.collection.unknown[u].id]
		}
		missing = missing[n:]
	}
	return nil
}
