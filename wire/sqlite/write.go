package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
)

// maxBatch bounds the writes of one transaction. The first of a batch waits for
// the last, and at this size the fsync that they share is already the smaller
// part of their cost.
const maxBatch = 256

// ErrClosed says that the database takes no writes any more: Run has ended. The
// write did not happen.
var ErrClosed = errors.New("database is closed")

// write is one call of Write on its way through Run.
type write struct {
	fn     func(*sql.Tx) error
	err    error      // of fn alone
	result chan error // takes the outcome; buffered, so that Run never waits
}

// Write runs fn in a transaction and returns when what it wrote is on disk, or
// with the error because of which nothing of it is. fn shares the transaction
// with other writes and sees what those before it in the batch wrote.
//
// fn runs on Run's goroutine: it must not call Write, wait for anything slow,
// commit or roll back, and it must return the error of a statement that failed.
// A context that ends while fn runs does not stop its statements.
//
// The outcome is never in doubt. If ctx ends before fn has started, nothing was
// written and Write returns its error; once fn has started, Write waits. With
// ErrClosed nothing was written.
func (db *DB) Write(ctx context.Context, fn func(*sql.Tx) error) error {
	w := &write{fn: fn, result: make(chan error, 1)}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.queue <- w:
		return <-w.result
	case <-ctx.Done():
		return ctx.Err()
	case <-db.done:
		return ErrClosed
	}
}

// Conclude has conclude run at the end of every write, in its savepoint: an error of
// it is one of the write, of which nothing is then left. committed is called after
// each transaction that was committed, before any Write in it returns. Both run on
// Run's goroutine, as a write does. It is to be called before Run.
func (db *DB) Conclude(conclude func(*sql.Tx) error, committed func()) {
	db.conclude, db.committed = conclude, committed
}

// Run executes writes until ctx ends, then finishes the batch it is in and
// returns nil. It is to be called once, and owns the writing connection.
func (db *DB) Run(ctx context.Context) error {
	defer db.end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-db.done:
			return nil
		case w := <-db.queue:
			db.batch(w)
		}
	}
}

// batch runs first and the writes that wait behind it in one transaction, and
// answers them all.
func (db *DB) batch(first *write) {
	all := []*write{first}
	err := errors.New("write ended its goroutine") // stands if fn calls runtime.Goexit
	defer func() {
		for _, w := range all {
			w.result <- w.outcome(err)
		}
	}()
	tx, e := db.writer.Begin()
	if e != nil {
		err = fmt.Errorf("begin: %w", e)
		return
	}
	defer tx.Rollback() // no effect after Commit
	e = db.run(first, tx)
	for e == nil && len(all) < maxBatch {
		w := db.waiting()
		if w == nil {
			break
		}
		all = append(all, w)
		e = db.run(w, tx)
	}
	if e == nil {
		e = tx.Commit()
	}
	if err = e; err != nil {
		err = fmt.Errorf("transaction: %w", err)
	} else if db.committed != nil {
		db.committed()
	}
}

// waiting returns a write that waits now, or nil.
func (db *DB) waiting() *write {
	select {
	case w := <-db.queue:
		return w
	default:
		return nil
	}
}

// outcome is what Write returns for w, given what became of the transaction. An
// error of its own does not stand alone if the transaction failed: w may have
// come to it by reading what another write of the batch had written.
func (w *write) outcome(tx error) error {
	if tx != nil && w.err != nil {
		return fmt.Errorf("%w (the write itself: %v)", tx, w.err)
	}
	return errors.Join(tx, w.err)
}

// run executes w in a savepoint of tx, and then what concludes every write. An error of w undoes w alone and is kept
// in it; the error returned is one of the transaction.
func (db *DB) run(w *write, tx *sql.Tx) error {
	if _, err := tx.Exec("SAVEPOINT w"); err != nil {
		return err
	}
	w.err = w.call(tx)
	if w.err == nil && db.conclude != nil {
		w.err = (&write{fn: db.conclude}).call(tx)
	}
	if w.err != nil {
		if _, err := tx.Exec("ROLLBACK TO w"); err != nil {
			// SQLite itself rolled everything back: disk full, I/O error. The
			// cause goes to all as words alone: an error that w's caller
			// branches on means nothing to the others.
			return fmt.Errorf("%w (after: %v)", err, w.err)
		}
	}
	_, err := tx.Exec("RELEASE w")
	return err
}

// call calls fn and makes a panic its error: one write of many must not end the
// daemon.
func (w *write) call(tx *sql.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return w.fn(tx)
}
