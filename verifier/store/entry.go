package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"

	"quicklime/ima"
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

// Collection is a list on its way to the store: a visitor that keeps the entries.
type Collection struct{ all []content }

// Collect returns an empty collection.
func (s *Store) Collect() *Collection { return &Collection{} }

// Visit keeps the entries.
func (c *Collection) Visit(b ima.Batch) {
	for _, e := range b.Entries {
		raw := e.AppendTo(nil)
		c.all = append(c.all, content{digest: sha256.Sum256(raw), bytes: raw})
	}
}

// Sequence is the numbers of entries, in the order of a list.
type Sequence []int64

// AddEntries stores the entries of a collection that are not stored yet, and
// returns the numbers of all of them in order. That an entry is stored says
// nothing about any machine.
func (s *Store) AddEntries(ctx context.Context, c *Collection) (Sequence, error) {
	all := c.all
	missing, err := s.lookUp(ctx, all)
	if err != nil {
		return nil, err
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
	numbers := make(Sequence, len(all))
	for i, c := range all {
		numbers[i] = c.number
	}
	return numbers, nil
}

// lookUp sets the numbers of entries that are known or stored, and returns the
// others.
func (s *Store) lookUp(ctx context.Context, all []content) (missing []*content, err error) {
	var unknown []*content
	for i := range all {
		if n, ok := s.known.get(all[i].digest); ok {
			all[i].number = n
		} else {
			unknown = append(unknown, &all[i])
		}
	}
	for batch := range slices.Chunk(unknown, entryBatch) {
		stored, err := s.stored(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, c := range batch {
			if c.number = stored[c.digest]; c.number == 0 {
				missing = append(missing, c)
			} else {
				s.known.put(c.digest, c.number)
			}
		}
	}
	return missing, nil
}

// stored returns the numbers of those entries that are stored.
func (s *Store) stored(ctx context.Context, batch []*content) (map[[sha256.Size]byte]int64, error) {
	digests := make([]string, len(batch))
	for i, c := range batch {
		digests[i] = hex.EncodeToString(c.digest[:])
	}
	list, err := json.Marshal(digests)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, digest FROM entry WHERE digest IN (SELECT unhex(value) FROM json_each(?))`, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	numbers := make(map[[sha256.Size]byte]int64, len(batch))
	for rows.Next() {
		var n int64
		var digest []byte
		if err := rows.Scan(&n, &digest); err != nil {
			return nil, err
		}
		numbers[[sha256.Size]byte(digest)] = n
	}
	return numbers, rows.Err()
}

// insertEntries stores the entries that are not stored yet, one that comes twice
// under one number, and sets the numbers of all.
func insertEntries(tx *sql.Tx, all []*content) error {
	insert, err := tx.Prepare(`INSERT OR IGNORE INTO entry (digest, bytes) VALUES (?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	find, err := tx.Prepare(`SELECT id FROM entry WHERE digest = ?`)
	if err != nil {
		return err
	}
	defer find.Close()
	for _, c := range all {
		r, err := insert.Exec(c.digest[:], c.bytes)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			err = find.QueryRow(c.digest[:]).Scan(&c.number)
			if err != nil {
				return err
			}
			continue
		}
		if c.number, err = r.LastInsertId(); err != nil {
			return err
		}
	}
	return nil
}
