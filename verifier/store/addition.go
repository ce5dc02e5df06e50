package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"quicklime/wire/sqlite"
)

// addition is a block on its way to disk.
type addition struct {
	packer
	ids    []identity
	hashes [][]int64 // of each entry
	packed []byte
	first  int64 // after insert
}

func (a *addition) add(u *unstored) bool {
	if !a.packer.add(u.kind, u.data) {
		return false
	}
	a.ids = append(a.ids, u.id)
	a.hashes = append(a.hashes, u.kind.hashes(nil, u.id, u.data))
	return true
}

func (a *addition) seal() { a.packed = a.pack() }

// remember remembers entries that were stored.
func (s *Store) remember(generation int64, a *addition) {
	for i, id := range a.ids {
		s.known.add(generation, id, a.first+int64(i))
	}
}

// finish encodes a sequence, and stores those of its entries that AddEntries left
// to Commit and nobody has stored meanwhile. The error is ErrConflict if entries
// were collected since AddEntries.
func (q Sequence) finish(tx *sql.Tx) (encoded []byte, a addition, err error) {
	now, err := generation(context.Background(), tx)
	if err != nil {
		return nil, a, err
	}
	if now != q.generation {
		return nil, a, ErrConflict
	}
	if q.encoded != nil {
		return q.encoded, a, nil
	}
	numbers := slices.Clone(q.numbers)
	at := map[identity]int64{} // in the block, from 1 on
	for i := range numbers {
		u := &q.collection.unknown[i]
		if numbers[i] != 0 || at[u.id] != 0 {
			continue
		}
		if numbers[i], err = storedAs(tx, u); err != nil {
			return nil, a, err
		}
		if numbers[i] == 0 {
			a.add(u)
			at[u.id] = int64(len(a.ids))
		}
	}
	if len(a.ids) > 0 {
		a.seal()
		if err := a.insert(tx); err != nil {
			return nil, a, err
		}
	}
	for i := range numbers {
		if numbers[i] == 0 {
			numbers[i] = a.first + at[q.collection.unknown[i].id] - 1
		}
	}
	return appendSequence(nil, q.collection.all(numbers)), a, nil
}

// storedAs returns the number that an entry is stored under, or 0.
func storedAs(tx *sql.Tx, u *unstored) (int64, error) {
	hash := u.id.hash()
	candidates, err := find(context.Background(), tx, []int64{hash})
	if err != nil {
		return 0, err
	}
	for _, n := range candidates[hash] {
		if b, err := readBlock(context.Background(), tx, n); err == nil && u.same(b, int(n-b.first)) {
			return n, nil
		}
	}
	return 0, nil
}

// insert stores the block under the next numbers.
func (a *addition) insert(tx *sql.Tx) error {
	now, err := sqlite.Now(tx)
	if err != nil {
		return err
	}
	count := len(a.which)
	err = tx.QueryRow(`UPDATE numbering SET next = next + ? RETURNING next - ?`, count, count).Scan(&a.first)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO block (first, count, live, added_at, bytes) VALUES (?, ?, ?, ?, ?)`, a.first, count, a.live(), millis(now), a.packed)
	if err != nil {
		return err
	}
	var rows []indexed
	for i, hashes := range a.hashes {
		for _, h := range hashes {
			rows = append(rows, indexed{h, a.first + int64(i)})
		}
	}
	return insertIndex(tx, rows)
}

// indexed is a row of the index.
type indexed struct{ hash, entry int64 }

// insertIndex adds rows to the index, many by one statement, in the order that
// they have there.
func insertIndex(tx *sql.Tx, rows []indexed) error {
	const atOnce = 100
	slices.SortFunc(rows, func(a, b indexed) int { return int(a.hash - b.hash) })
	many, err := tx.Prepare(insertIndexed(atOnce))
	if err != nil {
		return err
	}
	defer many.Close()
	for chunk := range slices.Chunk(rows, atOnce) {
		args := make([]any, 0, 2*atOnce)
		for _, r := range chunk {
			args = append(args, r.hash, r.entry)
		}
		if len(chunk) == atOnce {
			_, err = many.Exec(args...)
		} else {
			_, err = tx.Exec(insertIndexed(len(chunk)), args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func insertIndexed(n int) string {
	return `INSERT OR IGNORE INTO entry_index (hash, entry) VALUES (?, ?)` + strings.Repeat(", (?, ?)", n-1)
}
