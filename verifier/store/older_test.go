package store

import (
	"database/sql"
	"path/filepath"
	"testing"
	"testing/fstest"

	"quicklime/wire/sqlite"
)

// openOlder opens a database that statements filled when it had the schema of the first
// migrations.
func openOlder(t *testing.T, schema int, statements ...string) *Store {
	t.Helper()
	dir := fstest.MapFS{}
	all, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all[:schema] {
		b, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		dir[e.Name()] = &fstest.MapFile{Data: b}
	}
	path := filepath.Join(t.TempDir(), "verifier.db")
	db, err := sqlite.Open(path, dir, sqlite.Step{After: 4, Do: carryOver})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
