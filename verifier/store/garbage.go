package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Swept is what a collection of garbage did.
type Swept struct {
	Lists   int // of past epochs, forgotten because of their age
	Entries int // forgotten, because no list has them any more
	Merged  int // blocks, put together with the one before
}

// RunGarbage collects garbage again and again until ctx ends, and tells report
// what came of it. What cannot be read is reported and stays where it is, so that
// it keeps nothing else from being collected (I10).
//
// That entries are collected while others are about to refer to them is seen by
// the generation, which every transaction raises that takes entries away: a
// Sequence counts only in the generation in which its numbers were good.
func (s *Store) RunGarbage(ctx context.Context, report func(Swept, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(garbageEvery):
		}
		if swept, err := s.sweep(ctx, garbageAge); ctx.Err() == nil {
			report(swept, err)
		}
	}
}

// sweep collects garbage once, of blocks that are older than age.
func (s *Store) sweep(ctx context.Context, age time.Duration) (Swept, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return Swept{}, err
	}
	w := sweeper{store: s, marks: marks{}, before: now.Add(-age)}
	err = errors.Join(w.payloads(ctx, now), w.lists(ctx, now), w.mark(ctx, s.db.Read()))
	if err == nil {
		err = errors.Join(w.blocks(ctx), w.damage.err())
	}
	return w.swept, err
}

type sweeper struct {
	store    *Store
	before   time.Time
	marks    marks
	marked   int64 // id of the last segment that was
	sequence sequence
	swept    Swept
	damage   damage
}

// payloads forgets records of payloads that were withdrawn long ago.
func (w *sweeper) payloads(ctx context.Context, now time.Time) error {
	before := millis(now.Add(-maxWithdrawnAge))
	var due bool
	if err := w.store.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM payload WHERE withdrawn_at < ?)`, before).Scan(&due); err != nil || !due {
		return err
	}
	return w.store.db.Write(ctx, func(tx *sql.Tx) error { return forgetPayloads(tx, `withdrawn_at < ?`, before) })
}

// lists forgets lists of past epochs because of their age, a few at a time.
func (w *sweeper) lists(ctx context.Context, now time.Time) error {
	const atOnce = 8
	for {
		var n int64
		err := w.store.db.Write(ctx, func(tx *sql.Tx) error {
			r, err := tx.Exec(`DELETE FROM list WHERE id IN (SELECT id FROM list WHERE ended_at < ? LIMIT ?)`, millis(now.Add(-maxPastAge)), atOnce)
			if err != nil {
				return err
			}
			n, err = r.RowsAffected()
			return err
		})
		w.swept.Lists += int(n)
		if err != nil || n < atOnce {
			return err
		}
	}
}

// mark marks what segments refer to that were not there the last time.
func (w *sweeper) mark(ctx context.Context, db queryer) error {
	const atOnce = 16
	for {
		before := w.marked
		if err := w.markSome(ctx, db, atOnce); err != nil || w.marked == before {
			return err
		}
	}
}

func (w *sweeper) markSome(ctx context.Context, db queryer, n int) error {
	rows, err := db.QueryContext(ctx, `SELECT id, entries FROM segment WHERE id > ? ORDER BY id LIMIT ?`, w.marked, n)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&w.marked, &b); err != nil {
			return err
		}
		if err := w.marks.sequence(&w.sequence, b); err != nil {
			w.damage.add(fmt.Errorf("segment %d: %w", w.marked, err))
		}
	}
	return rows.Err()
}
