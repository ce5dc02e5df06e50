// Package store keeps what the registrar knows, in its embedded database: the
// machines, the keys that they were seen with, and the join tokens.
//
// A registration is one transaction ([Store.Register]), so a token is used by
// exactly the machine that it brought in, and a registration that fails changes
// nothing. Keys enter only as [credential.Proven].
//
// Whoever reads derives ids and Names again from the public areas (I01); a row
// that does not hold together is reported beside the others and never instead
// of them (I10).
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"quicklime/wire/sqlite"
)

// What a caller may have to tell apart.
var (
	// ErrToken says that a join token is unknown, expired, or used.
	ErrToken = errors.New("the join token is not valid")
	// ErrNotFound says that there is no machine, or no join token, of that id.
	ErrNotFound = errors.New("not found")
	// ErrTokenUsed says that a join token has let a machine in.
	ErrTokenUsed = errors.New("the join token was used")
	// ErrKeysChanged says that the keys to be accepted are not those that the
	// machine offers now.
	ErrKeysChanged = errors.New("the machine does not offer these keys")
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is the registrar's database. Its methods may be called from several
// goroutines.
type Store struct {
	db *sqlite.DB
}

// Open opens the database file at path and makes it if it is absent.
func Open(path string) (*Store, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(path, dir)
	if err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// Run writes what the methods want written until ctx ends. It owns the writing
// connection.
func (s *Store) Run(ctx context.Context) error { return s.db.Run(ctx) }

// Close closes the database. Call it after Run has returned.
func (s *Store) Close() error { return s.db.Close() }

// Listing is what a table holds: the rows that can be read, and an error for
// each that cannot.
type Listing[T any] struct {
	Rows       []T
	Unreadable []error
}

// list runs a query and reads every row. The error is one of the query.
func list[T any](ctx context.Context, db *sql.DB, read func(row) (T, error), query string) (l Listing[T], err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for n := 1; rows.Next(); n++ {
		if v, err := read(rows); err == nil {
			l.Rows = append(l.Rows, v)
		} else {
			l.Unreadable = append(l.Unreadable, fmt.Errorf("row %d: %w", n, err))
		}
	}
	return l, rows.Err()
}

// row is a *sql.Row or the current one of *sql.Rows.
type row interface{ Scan(...any) error }

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRow(query string, args ...any) *sql.Row
}

// maxMillis is the end of the year 9999, after which a time cannot be written
// as RFC 3339.
const maxMillis = 253402300799_999

// millis reads a column of time.
func millis(ms int64) (time.Time, error) {
	if ms < 0 || ms > maxMillis {
		return time.Time{}, fmt.Errorf("time %d ms is not in the years 1970 to 9999", ms)
	}
	return time.UnixMilli(ms).UTC(), nil
}
