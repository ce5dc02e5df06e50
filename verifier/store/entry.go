package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"sync"

	"quicklime/verifier/imalist"
)

const (
	// entryBatch bounds the entries that one write adds, so that a machine's
	// first list does not keep others waiting: some 20 ms.
	entryBatch = 2000

	// maxKnown bounds the entry numbers kept in memory, 40 bytes each: the files
	// of a few distributions.
	maxKnown = 1 << 18
)

// knownEntries remembers the numbers of entries by content. When it is full it
// starts anew. The zero value is ready for use.
type knownEntries struct {
	mu      sync.Mutex
	numbers map[[sha256.Size]byte]int64
}

func (k *knownEntries) get(d [sha256.Size]byte) (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.numbers[d]
	return n, ok
}

func (k *knownEntries) put(d [sha256.Size]byte, n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.numbers == nil || len(k.numbers) >= maxKnown {
		k.numbers = make(map[[sha256.Size]byte]int64)
	}
	k.numbers[d] = n
}

// content is an entry and the digest that it is stored under.
type content struct {
	digest [sha256.Size]byte
	bytes  []byte
	number int64 // 0: not known yet
}

// AddEntries stores the entries of a certified list that are not stored yet, and
// returns the numbers of all of them in order. That an entry is stored says
// nothing about any machine.
func (s *Store) AddEntries(ctx context.Context, c imalist.Certified) ([]int64, error) {
	var all []content
	for _, e := range c.Replayed().All() {
		b := e.AppendTo(nil)
		all = append(all, content{digest: sha256.Sum256(b), bytes: b})
	}
	if err := s.lookUp(ctx, all); err != nil {
		return nil, err
	}
	var missing []*content
	for i := range all {
		if all[i].number == 0 {
			missing = append(missing, &all[i])
		}
	}
	for len(missing) > 0 {
		n := min(len(missing), entryBatch)
		if err := s.db.Write(ctx, func(tx *sql.Tx) error { return insertEntries(tx, missing[:n]) }); err != nil {
			return nil, err
		}
		for _, m := range missing[:n] {
			s.known.put(m.digest, m.number)
		}
		missing = missing[n:]
	}
	numbers := make([]int64, len(all))
	for i, c := range all {
		numbers[i] = c.number
	}
	return numbers, nil
}

// lookUp fills in the numbers of entries that are stored.
func (s *Store) lookUp(ctx context.Context, all []content) error {
	stmt, err := s.db.Read().PrepareContext(ctx, `SELECT id FROM entry WHERE digest = ?`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range all {
		c := &all[i]
		if n, ok := s.known.get(c.digest); ok {
			c.number = n
			continue
		}
		err := stmt.QueryRowContext(ctx, c.digest[:]).Scan(&c.number)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		s.known.put(c.digest, c.number)
	}
	return nil
}

// insertEntries stores entries, the same one twice or one that somebody else has
// stored meanwhile under one number.
func insertEntries(tx *sql.Tx, all []*content) error {
	insert, err := tx.Prepare(`INSERT INTO entry (digest, bytes) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET id = id RETURNING id`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, c := range all {
		if err := insert.QueryRow(c.digest[:], c.bytes).Scan(&c.number); err != nil {
			return err
		}
	}
	return nil
}
