package sqlite

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// schema is migrations from their texts.
func schema(scripts ...string) fs.FS {
	m := fstest.MapFS{}
	for i, s := range scripts {
		m["000"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte(s)}
	}
	return m
}

var kv = schema("CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT NOT NULL) STRICT;")

func openAt(t testing.TB, path string, migrations fs.FS) *DB {
	t.Helper()
	db, err := Open(path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// start opens a database and runs it until the test ends.
func start(t testing.TB) *DB {
	t.Helper()
	db := openAt(t, filepath.Join(t.TempDir(), "test.db"), kv)
	run(t, db)
	return db
}

// run runs db until the test ends or stop is called.
func run(t testing.TB, db *DB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := db.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func put(k, v string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO kv VALUES (?, ?)", k, v)
		return err
	}
}

// keys returns the keys in the database, sorted.
func keys(t testing.TB, db *DB) (all []string) {
	t.Helper()
	rows, err := db.Read().Query("SELECT k FROM kv ORDER BY k")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func wantKeys(t testing.TB, db *DB, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, keys(t, db)); diff != "" {
		t.Error("keys:", diff)
	}
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error is %v, want one with %q", err, part)
	}
}

func TestSettings(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "a b?c#d%.db"), kv)
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "temp_store": "2", "secure_delete": "2"}
	got := map[string]string{}
	for name := range want {
		var v string
		if err := db.writer.QueryRow("PRAGMA " + name).Scan(&v); err != nil {
			t.Fatal(err)
		}
		got[name] = v
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := db.writer.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writing connections, want 1", n)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := start(t)
	_, err := db.Read().Exec("INSERT INTO kv VALUES ('a', 'b')")
	wantError(t, err, "readonly")
}

func TestForeignKeysAreChecked(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"), schema("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a (id));"))
	run(t, db)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO b VALUES (7)")
		return err
	})
	wantError(t, err, "FOREIGN KEY")
}

func TestI05_FilesAreForTheOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, filepath.Join(dir, "test.db"), kv)
	run(t, db)
	if err := db.Write(t.Context(), put("a", "b")); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]string{}
	for _, f := range files {
		st, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		modes[f.Name()] = st.Mode().String()
	}
	want := map[string]string{"test.db": "-rw-------", "test.db-wal": "-rw-------", "test.db-shm": "-rw-------"}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Error(diff)
	}
}

func TestI05_OpenRefuses(t *testing.T) {
	dir := t.TempDir()
	lax, text := filepath.Join(dir, "lax.db"), filepath.Join(dir, "text.db")
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(open, "x.db"), kv); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a directory that others may write: %v", err)
	}
	for file, mode := range map[string]os.FileMode{lax: 0o640, text: 0o600} {
		if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 100)), mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ path, want string }{
		{lax, "mode 0640, so that others may read it; run: chmod 600 " + lax},
		{text, "not a database"},
		{filepath.Join(dir, "absent", "a.db"), "no such file or directory"},
		{dir, "is not a regular file"},
	}
	for _, tt := range tests {
		_, err := Open(tt.path, kv)
		wantError(t, err, tt.want)
	}
}

func TestClock(t *testing.T) {
	db := start(t)
	before := time.Now().Truncate(time.Millisecond)
	outside, err := db.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var inside time.Time
	err = db.Write(t.Context(), func(tx *sql.Tx) (err error) {
		inside, err = Now(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	if outside.Before(before) || inside.Before(outside) || inside.After(after) {
		t.Errorf("clocks out of order: %v, %v, %v, %v", before, outside, inside, after)
	}
	if outside.Location() != time.UTC || outside.Nanosecond()%int(time.Millisecond) != 0 {
		t.Errorf("%v is not in UTC milliseconds", outside)
	}
}
