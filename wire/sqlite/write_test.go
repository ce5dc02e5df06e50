package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// hold makes Run busy with a write until release is called, so that other
// writes wait and make one batch with it.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	started, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Write(context.Background(), func(*sql.Tx) error {
			close(started)
			<-end
			return nil
		})
		if err != nil {
			t.Error("holding write:", err)
		}
	})
	<-started
	return func() { close(end); wg.Wait() }
}

// together runs fns as writes that wait at the same time, in an order that is
// not known, and returns the outcome of each.
func together(t *testing.T, db *DB, fns ...func(*sql.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg, waiting sync.WaitGroup
	release := hold(t, db)
	for i, fn := range fns {
		waiting.Add(1)
		wg.Go(func() {
			waiting.Done()
			errs[i] = db.Write(context.Background(), fn)
		})
	}
	waiting.Wait()
	for range 100 {
		runtime.Gosched() // let them reach the queue; the outcome does not depend on it
	}
	release()
	wg.Wait()
	return errs
}

func TestConcurrentWrites(t *testing.T) {
	db := start(t)
	const n = 3 * maxBatch
	var fns []func(*sql.Tx) error
	for i := range n {
		fns = append(fns, put(fmt.Sprint(i), ""))
	}
	for i, err := range together(t, db, fns...) {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got := len(keys(t, db)); got != n {
		t.Errorf("%d rows, want %d", got, n)
	}
}

// TestGroupCommit looks at the batch itself: the writes that wait share one
// transaction, up to the bound.
func TestGroupCommit(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), kv)
	db.queue = make(chan *write, maxBatch+1) // so that they certainly wait
	seen := map[*sql.Tx]int{}
	var writes []*write
	for range maxBatch + 1 {
		w := &write{result: make(chan error, 1), fn: func(tx *sql.Tx) error { seen[tx]++; return nil }}
		writes = append(writes, w)
		db.queue <- w
	}
	for len(db.queue) > 0 {
		db.batch(<-db.queue)
	}
	for _, w := range writes {
		if err := <-w.result; err != nil {
			t.Error(err)
		}
	}
	var sizes []int
	for _, n := range seen {
		sizes = append(sizes, n)
	}
	if len(sizes) != 2 || max(sizes[0], sizes[1]) != maxBatch {
		t.Errorf("batches of %v writes, want %d and 1", sizes, maxBatch)
	}
}

func TestOneWriteFailsAmongOthers(t *testing.T) {
	db := start(t)
	errMine := errors.New("mine")
	errs := together(t, db,
		put("a", ""),
		func(tx *sql.Tx) error { return errors.Join(put("b", "")(tx), errMine) },
		put("c", ""),
		func(tx *sql.Tx) error { put("d", "")(tx); panic("oh") },
		func(tx *sql.Tx) error { return errors.Join(put("e", "")(tx), put("e", "")(tx)) },
		put("f", ""))
	for _, i := range []int{0, 2, 5} {
		if errs[i] != nil {
			t.Errorf("write %d: %v", i, errs[i])
		}
	}
	if !errors.Is(errs[1], errMine) {
		t.Errorf("the failed write's error is %v", errs[1])
	}
	wantError(t, errs[3], "write panicked: oh")
	wantError(t, errs[4], "UNIQUE")
	wantKeys(t, db, "a", "c", "f")
}

// A COMMIT that fails fails every write of its batch, whatever each said.
func TestFailedCommitFailsAll(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), schema(
		`CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT) STRICT;
		CREATE TABLE child (k TEXT REFERENCES kv (k) DEFERRABLE INITIALLY DEFERRED);`))
	db.queue = make(chan *write, 3)
	errMine := errors.New("mine")
	good := &write{result: make(chan error, 1), fn: put("a", "")}
	failed := &write{result: make(chan error, 1), fn: func(*sql.Tx) error { return errMine }}
	orphan := &write{result: make(chan error, 1), fn: func(tx *sql.Tx) error { // refused when the transaction commits
		_, err := tx.Exec("INSERT INTO child VALUES ('nobody')")
		return err
	}}
	db.queue <- failed
	db.queue <- orphan
	db.batch(good)
	for _, w := range []*write{good, failed, orphan} {
		err := <-w.result
		wantError(t, err, "FOREIGN KEY")
		if errors.Is(err, errMine) {
			t.Error("a write's own error stands although its transaction failed")
		}
	}
	wantKeys(t, db)
	run(t, db)
	if err := db.Write(t.Context(), put("b", "")); err != nil {
		t.Error("after a failed batch:", err)
	}
}

// A write that ends the transaction fails its batch and not the next one.
func TestEndedTransactionFailsAll(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), kv)
	db.queue = make(chan *write, 1)
	good := &write{result: make(chan error, 1), fn: put("a", "")}
	bad := &write{result: make(chan error, 1), fn: func(tx *sql.Tx) error {
		_, err := tx.Exec("ROLLBACK")
		return err
	}}
	db.queue <- bad
	db.batch(good)
	wantError(t, <-good.result, "transaction")
	wantError(t, <-bad.result, "transaction")
	run(t, db)
	if err := db.Write(t.Context(), put("b", "")); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, db, "b")
}

// A write that ends Run's goroutine, as testing's FailNow does, is answered and
// leaves nothing.
func TestEndedGoroutine(t *testing.T) {
	db := start(t)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		put("a", "")(tx)
		runtime.Goexit()
		return nil
	})
	wantError(t, err, "write ended its goroutine")
	if err := db.Write(t.Context(), put("b", "")); !errors.Is(err, ErrClosed) {
		t.Errorf("error is %v, want ErrClosed", err)
	}
	wantKeys(t, db)
}

func TestCancelledWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &DB{queue: make(chan *write), done: make(chan struct{})} // and nobody runs it
		ctx, cancel := context.WithCancel(t.Context())
		outcome := make(chan error, 1)
		go func() { outcome <- db.Write(ctx, put("a", "")) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-outcome:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want context.Canceled", err)
			}
		default:
			t.Error("Write still waits")
			<-db.queue
		}
	})
}

func TestCancelledBeforeTheStart(t *testing.T) {
	db := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // Run is ready to take the write in most of them
		if err := db.Write(t.Context(), func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		if err := db.Write(ctx, put("a", "")); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v, want context.Canceled", err)
		}
	}
	wantKeys(t, db)
}

func TestCancelledAfterTheStart(t *testing.T) {
	db := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx *sql.Tx) error {
		cancel()
		return put("a", "")(tx)
	})
	if err != nil {
		t.Errorf("error is %v although the write was made", err)
	}
	wantKeys(t, db, "a")
}

func TestClosed(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), kv)
	stop := run(t, db)
	release := hold(t, db)
	waiting := make(chan error)
	go func() { waiting <- db.Write(context.Background(), put("a", "")) }()
	go stop()
	release() // Run ends its batch, with or without the write that waits
	err := <-waiting
	stop()
	if err == nil {
		wantKeys(t, db, "a")
	} else if errors.Is(err, ErrClosed) {
		wantKeys(t, db)
	} else {
		t.Errorf("error is %v, want ErrClosed", err)
	}
	if err := db.Write(t.Context(), put("b", "")); !errors.Is(err, ErrClosed) {
		t.Errorf("error is %v, want ErrClosed", err)
	}
}

func TestClosedWithoutRun(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), kv)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), put("a", "")); !errors.Is(err, ErrClosed) {
		t.Errorf("error is %v, want ErrClosed", err)
	}
}

// TestCrash copies the files while the database is open, as a crash would leave
// them, and opens the copy.
func TestCrash(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	db := openAt(t, filepath.Join(dir, "db"), kv)
	run(t, db)
	if err := db.Write(t.Context(), put("committed", "")); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if err := put("not yet", "")(tx); err != nil {
			return err
		}
		for _, f := range []string{"db", "db-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, f))
			if err == nil {
				err = os.WriteFile(filepath.Join(copied, f), b, 0o600)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, db, "committed", "not yet")
	wantKeys(t, openAt(t, filepath.Join(copied, "db"), kv), "committed")
}
