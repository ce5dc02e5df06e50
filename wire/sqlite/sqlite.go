// Package sqlite opens the embedded database of a daemon and gives it one
// writer with group commit.
//
// A database is one file in WAL mode, readable by its owner alone, brought up to
// date by numbered migrations when it is opened. Everybody reads through a pool
// of connections that cannot write. Everybody writes through Write, which hands
// a function to Run; Run puts the functions that wait at the same time into one
// transaction, each in its own savepoint, so that one fsync makes them all
// durable.
//
//	Write ──┐            ┌ SAVEPOINT fn RELEASE ┐
//	Write ──┼─► Run BEGIN┼ SAVEPOINT fn RELEASE ┼COMMIT ─► every Write returns
//	Write ──┘            └ SAVEPOINT fn ROLLBACK┘
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// busyTimeout bounds the wait for a lock that another process holds: a
	// backup or an operator's sqlite3, since a daemon has one writer.
	busyTimeout = 5 * time.Second

	// busyPause lies between two attempts that SQLite does not space itself.
	busyPause = 10 * time.Millisecond

	// maxReaders bounds the read pool: each connection keeps up to 2 MiB of
	// pages, and more readers than cores only wait for each other.
	maxReaders = 8
)

// DB is an open database.
type DB struct {
	writer *sql.DB // one connection, used by Run alone once Open has returned
	reader *sql.DB
	queue  chan *write   // unbuffered: a write has started when Run has received it
	done   chan struct{} // closed when no write will be taken any more
	end    func()        // closes done, once

	conclude  func(*sql.Tx) error // see Conclude; nil: nothing
	committed func()
}

// Open opens the database file at path, makes it if it is absent and applies
// the migrations it lacks; see migrate for their form. The directory must exist.
// A file that others may read or write is refused (I05), and so is a database
// that a newer program wrote.
func Open(path string, migrations fs.FS, steps ...Step) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := ensureFile(path); err != nil {
		return nil, err
	}
	writer, err := sqlite.NewConnector(dsn(path, "_journal_mode", "WAL", "_synchronous", "FULL", "_foreign_keys", "on", "_txlock", "immediate",
		"_pragma", "temp_store(memory)", // what a savepoint keeps of the pages that are changed after it
		"_pragma", "secure_delete(fast)")) // what is deleted, or replaced, is overwritten where that reads and writes no more pages
	if err != nil {
		return nil, err
	}
	reader, err := sqlite.NewConnector(dsn(path, "_query_only", "on"))
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	db := &DB{
		writer: sql.OpenDB(uninterrupted{writer}),
		reader: sql.OpenDB(reader),
		queue:  make(chan *write),
		done:   done,
		end:    sync.OnceFunc(func() { close(done) }),
	}
	db.writer.SetMaxOpenConns(1)
	db.reader.SetMaxOpenConns(maxReaders)
	db.reader.SetMaxIdleConns(maxReaders)
	err = unlessBusy(func() error { return migrate(db.writer, migrations, steps) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// unlessBusy calls do again while it finds the database busy, for busyTimeout at
// most: SQLite itself does not wait where two connections want to bring a file
// into WAL mode at once, because waiting could last for ever.
func unlessBusy(do func() error) error {
	for end := time.Now().Add(busyTimeout); ; time.Sleep(busyPause) {
		err := do()
		var failed *sqlite.Error
		if !errors.As(err, &failed) || failed.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(end) {
			return err
		}
	}
}

// Read returns the pool of connections that read; a statement that writes fails
// on them. Each statement sees the last commit before it began.
func (db *DB) Read() *sql.DB { return db.reader }

// Close closes the database. Call it after Run has returned, if Run was called.
func (db *DB) Close() error {
	db.end()
	return errors.Join(db.reader.Close(), db.writer.Close())
}

// ensureFile makes the file, because SQLite would make it readable by all, and
// gives its write-ahead log the mode that the file has.
func ensureFile(path string) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if dir.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("database %s is in a directory with mode %04o, where others may replace it; run: chmod go-w %s", path, dir.Mode().Perm(), filepath.Dir(path))
	}
	// A file that is there is not opened: closing it would give up the locks that
	// SQLite holds on it for this process, if it does.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		err = f.Close()
	case errors.Is(err, fs.ErrExist):
		err = nil
	}
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("database %s is not a regular file", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("database %s has mode %04o, so that others may read it; run: chmod 600 %[1]s", path, st.Mode().Perm())
	}
	return nil
}

// dsn returns the data source name of the file at path with the driver's
// options, given as name and value in turn.
func dsn(path string, options ...string) string {
	q := url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_dqs":          {"false"}, // "name" is never a string
	}
	for i := 0; i+1 < len(options); i += 2 {
		q.Add(options[i], options[i+1])
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}
