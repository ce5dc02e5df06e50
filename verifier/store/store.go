// Package store keeps what the verifier knows in SQLite: enrolments, their state,
// the entries they certified, their failures, and the policies.
//
// An enrolment is an immutable record; what changes is its state, and that moves
// by compare-and-swap on (enrolment id, revision): every write names the revision
// that it was computed from and raises it, so of two writers one loses with
// ErrConflict and computes anew (I22). Changing a policy raises the revision of
// every agent under it, so that no verdict under the old one can still be
// committed.
//
// Entries are stored once for the whole fleet, by content, in compressed blocks of
// entries with consecutive numbers; an agent has a sequence of numbers for each
// epoch. A number is never given twice. Entries that no sequence refers to are
// collected by RunGarbage.
//
// The trust of an agent never changes without an event, which is written in the same
// transaction (settle) and from there goes to the logs, the webhooks and the other
// agents, at least once to each.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"quicklime/verifier/severity"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such enrolment or policy.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the state has moved since it was read, or that the
	// name, id or key is taken.
	ErrConflict = errors.New("changed meanwhile, or exists already")
	// ErrInUse says that an agent is judged by the policy.
	ErrInUse = errors.New("in use")
)

// Store is the verifier's database.
type Store struct {
	RuntimePolicies Policies[rest.RuntimePolicy]
	BootPolicies    Policies[rest.BootPolicy]

	db      *sqlite.DB
	changes changes
	known   *known
	cache   cache
	adding  chan struct{} // holds one for who stores many entries

	severity *severity.Scale // nil: the default

	routing Routing
	emitted bool // the transaction under way has recorded an event; owned by Run
}

// Open opens or makes the database at path. Run must run while it is used.
func Open(path string) (*Store, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(path, dir, sqlite.Step{After: 4, Do: carryOver})
	if err != nil {
		return nil, err
	}
	now, err := generation(context.Background(), db.Read())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{db: db, known: newKnown(now), adding: make(chan struct{}, 1)}
	s.RuntimePolicies, s.BootPolicies = s.runtimePolicies(), s.bootPolicies()
	db.Conclude(s.settle, s.happened)
	return s, nil
}

// Run writes what others ask to be written until ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.db.Run(ctx) }

// Close closes the database after Run has returned.
func (s *Store) Close() error { return s.db.Close() }

// Now returns the database's clock, by which all deadlines go.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.db.Now(ctx) }

// one runs a statement that must change exactly one row.
func one(tx *sql.Tx, query string, args ...any) error {
	r, err := tx.Exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrConflict
}

// notFound turns the absence of a row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
