package sqlite

import (
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
)

const (
	first  = "CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT NOT NULL) STRICT;"
	second = "ALTER TABLE kv ADD COLUMN w TEXT; INSERT INTO kv VALUES ('second', '', '');"
	third  = "INSERT INTO kv VALUES ('third', '', '');"
)

func version(t *testing.T, db *DB) (v int) {
	t.Helper()
	if err := db.Read().QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	steps := []struct {
		schema  fs.FS
		version int
		keys    []string
	}{
		{schema(first), 1, nil},
		{schema(first), 1, nil},
		{schema(first, second, third), 3, []string{"second", "third"}},
		{schema(first, second, third), 3, []string{"second", "third"}},
	}
	for i, s := range steps {
		db := openAt(t, path, s.schema)
		if v := version(t, db); v != s.version {
			t.Errorf("step %d: version %d, want %d", i, v, s.version)
		}
		wantKeys(t, db, s.keys...)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := Open(path, schema(first, second))
	wantError(t, err, "its schema has version 3 and this program knows 2")
}

func TestMigrationsFromZero(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), schema(first, second, third))
	if v := version(t, db); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
	wantKeys(t, db, "second", "third")
}

// A migration that fails half-way leaves the one before it.
func TestMigrationIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	_, err := Open(path, schema(first, "INSERT INTO kv VALUES ('half', ''); INSERT INTO nowhere VALUES (1);"))
	wantError(t, err, "migration 0002: ")
	db := openAt(t, path, schema(first))
	if v := version(t, db); v != 1 {
		t.Errorf("version %d, want 1", v)
	}
	wantKeys(t, db)
}

func TestOpenConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := Open(path, schema(first, second, third))
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wg.Wait()
	wantKeys(t, openAt(t, path, schema(first, second, third)), "second", "third")
}

func TestMigrationNames(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("SELECT 1")}
	tests := []struct {
		name string
		dir  fstest.MapFS
		want string
	}{
		{"none", fstest.MapFS{}, "no migrations"},
		{"gap", fstest.MapFS{"0001_a.sql": file, "0003_c.sql": file}, `"0003_c.sql": want a name like 0002_what.sql`},
		{"from 0", fstest.MapFS{"0000_a.sql": file}, "want a name like 0001_what.sql"},
		{"twice", fstest.MapFS{"0001_a.sql": file, "0001_b.sql": file}, "want a name like 0002_what.sql"},
		{"no number", fstest.MapFS{"init.sql": file}, "want a name like 0001_what.sql"},
		{"in a directory", fstest.MapFS{"migrations/0001_a.sql": file}, `migration "migrations"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(filepath.Join(t.TempDir(), "db"), tt.dir)
			wantError(t, err, tt.want)
		})
	}
}
