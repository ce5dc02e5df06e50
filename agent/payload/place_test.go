package payload

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A program that was run in a payload's directory leaves files of its own user, which
// the agent may not write. They are removed, and keep nothing from being overwritten.
func TestWipeOfAnotherUsersFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := filepath.Join(t.TempDir(), "payload")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	content := map[string]string{"a.log": "theirs", "secret": "ours"}
	open := map[string]*os.File{}
	for name, text := range content {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open[name] = f
	}
	if err := os.Chown(filepath.Join(dir, "a.log"), 65534, -1); err != nil {
		t.Fatal(err)
	}
	if err := wipe(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	for name, want := range map[string]string{"a.log": "theirs", "secret": "\x00\x00\x00\x00"} {
		if b, err := io.ReadAll(open[name]); err != nil || string(b) != want {
			t.Errorf("%s reads %q, %v, want %q", name, b, err, want)
		}
	}
}
