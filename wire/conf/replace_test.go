package conf

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	for _, c := range []struct {
		perm os.FileMode
		text string
	}{{0o600, "first"}, {0o644, "the second"}, {0o600, ""}} {
		if err := ReplaceFile(file, c.perm, []byte(c.text)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != c.text || st.Mode() != c.perm {
			t.Errorf("%q with mode %v, want %q with %v", b, st.Mode(), c.text, c.perm)
		}
	}
	wantNames(t, dir, "key")
}

// What cannot be replaced stays, and nothing is left beside it.
func TestReplaceFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "key", "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(filepath.Join(dir, "key"), 0o600, []byte("text")); err == nil {
		t.Error("a directory was replaced")
	}
	wantNames(t, dir, "key")
	if err := ReplaceFile(filepath.Join(dir, "absent", "key"), 0o600, nil); err == nil {
		t.Error("a file was made in a directory that is not there")
	}
}

// Whoever has the old file open keeps it: it was not written over.
func TestReplaceFileMakesANewFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(file, 0o600, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(file); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was written over: %v", err)
	}
}

func wantNames(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != want {
		t.Errorf("%s holds %v, want %s alone", dir, entries, want)
	}
}
