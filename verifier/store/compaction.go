package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"quicklime/wire/sqlite"
)

// blockRow is a block without its bytes.
type blockRow struct{ first, count, live, added, size int64 }

// blocks goes through all blocks.
func (w *sweeper) blocks(ctx context.Context) error {
	var last int64
	var run []blockRow
	for {
		rows, err := w.some(ctx, last)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return w.merge(ctx, run)
		}
		for _, r := range rows {
			if run, err = w.block(ctx, run, r); err != nil {
				return err
			}
		}
		last = rows[len(rows)-1].first
	}
}

func (w *sweeper) some(ctx context.Context, after int64) (all []blockRow, err error) {
	rows, err := w.store.db.Read().QueryContext(ctx, `SELECT first, count, live, added_at, length(bytes) FROM block WHERE first > ? ORDER BY first LIMIT 1000`, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r blockRow
		if err := rows.Scan(&r.first, &r.count, &r.live, &r.added, &r.size); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// block collects what no list has of a block, once that is half of it, and merges
// blocks that follow one another. It returns those that the next may be merged
// with.
func (w *sweeper) block(ctx context.Context, run []blockRow, r blockRow) ([]blockRow, error) {
	if !fromMillis(r.added).Before(w.before) {
		return nil, w.merge(ctx, run)
	}
	if left := w.marks.count(r.first, r.count); 2*left <= r.live && left < r.live {
		if err := w.mark(ctx, w.store.db.Read()); err != nil { // few are left to do in the transaction
			return nil, err
		}
		if err := w.collect(ctx, r.first); err != nil {
			w.damage.add(err)
		}
		return nil, w.merge(ctx, run)
	}
	if fits(run, r) {
		return append(run, r), nil
	}
	return []blockRow{r}, w.merge(ctx, run)
}

// fits reports whether r can be merged with the blocks of run: half of what a
// block may have, since it is not known how much the bytes unpack to.
func fits(run []blockRow, r blockRow) bool {
	if len(run) == 0 {
		return true
	}
	count, size := r.count, r.size
	for _, b := range run {
		count, size = count+b.count, size+b.size
	}
	last := run[len(run)-1]
	return last.first+last.count == r.first && count <= maxBlockEntries && size <= maxBlockData/4
}

// collect takes the entries out of a block that no segment refers to, those that
// were committed meanwhile included.
func (w *sweeper) collect(ctx context.Context, first int64) error {
	var gone []identity
	var now int64
	err := w.store.db.Write(ctx, func(tx *sql.Tx) error {
		if err := w.mark(context.Background(), tx); err != nil {
			return err
		}
		b, err := rowOf(tx, first)
		if errors.Is(err, ErrNotFound) {
			return nil // another verifier was faster
		}
		if err != nil {
			return err
		}
		var p packer
		if gone, err = w.takeOut(tx, b, &p); err != nil || len(gone) == 0 {
			return err
		}
		if err := replaceBlock(tx, first, &p); err != nil {
			return err
		}
		return tx.QueryRow(`UPDATE numbering SET generation = generation + 1 RETURNING generation`).Scan(&now)
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	w.store.known.forget(now, gone)
	w.swept.Entries += len(gone)
	return nil
}

// takeOut packs a block without the entries that are not marked, which it takes
// out of the index.
func (w *sweeper) takeOut(tx *sql.Tx, b *block, p *packer) (gone []identity, err error) {
	remove, err := tx.Prepare(`DELETE FROM entry_index WHERE hash = ? AND entry = ?`)
	if err != nil {
		return nil, err
	}
	defer remove.Close()
	for i := range b.count() {
		n, k := b.first+int64(i), b.kind(i)
		if k == nil || w.marks.has(n) {
			p.add(k, b.data(i)) // there was room before
			continue
		}
		p.add(nil, nil)
		sum := k.sum(b.data(i))
		id := k.identify(&sum)
		for _, h := range k.hashes(nil, id, b.data(i)) {
			if _, err := remove.Exec(h, n); err != nil {
				return nil, err
			}
		}
		gone = append(gone, id)
	}
	return gone, nil
}

func replaceBlock(tx *sql.Tx, first int64, p *packer) error {
	if p.live() == 0 {
		return one(tx, `DELETE FROM block WHERE first = ?`, first)
	}
	return one(tx, `UPDATE block SET count = ?, live = ?, bytes = ? WHERE first = ?`, len(p.which), p.live(), p.pack(), first)
}

// rowOf reads the block that begins with the number first.
func rowOf(tx *sql.Tx, first int64) (*block, error) {
	var packed []byte
	if err := tx.QueryRow(`SELECT bytes FROM block WHERE first = ?`, first).Scan(&packed); err != nil {
		return nil, notFound(err)
	}
	b, err := unpackOnly(first, packed)
	if err != nil {
		err = fmt.Errorf("block of entries from number %d on: %w", first, err)
	}
	return b, err
}

// merge makes one block of several that follow one another.
func (w *sweeper) merge(ctx context.Context, run []blockRow) error {
	if len(run) < 2 {
		return nil
	}
	merged := false
	err := w.store.db.Write(ctx, func(tx *sql.Tx) (err error) {
		var p packer
		if merged, err = mergeInto(tx, run, &p); err != nil || !merged {
			return err
		}
		last := run[len(run)-1]
		if _, err := tx.Exec(`DELETE FROM block WHERE first > ? AND first <= ?`, run[0].first, last.first); err != nil {
			return err
		}
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return one(tx, `UPDATE block SET count = ?, live = ?, added_at = ?, bytes = ? WHERE first = ?`, len(p.which), p.live(), millis(now), p.pack(), run[0].first)
	})
	if err == nil && merged {
		w.swept.Merged += len(run) - 1
	}
	if ctx.Err() == nil && err != nil { // a damaged block stays as it is
		w.damage.add(err)
		err = nil
	}
	return err
}

// mergeInto packs the blocks of run together, or reports false if they are not as
// they were or too much.
func mergeInto(tx *sql.Tx, run []blockRow, p *packer) (bool, error) {
	for _, r := range run {
		b, err := rowOf(tx, r.first)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if int64(b.count()) != r.count {
			return false, nil
		}
		for i := range b.count() {
			if !p.add(b.kind(i), b.data(i)) {
				return false, nil
			}
		}
	}
	return true, nil
}
