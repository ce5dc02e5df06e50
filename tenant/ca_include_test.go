package tenant

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// I02: what goes into a package, which a timer makes again and again, is of the directory
// that was named, whatever whoever may write there puts in its place meanwhile.
func TestI02_IncludedFilesAreOfTheDirectory(t *testing.T) {
	dir := t.TempDir()
	in, link := filepath.Join(dir, "in"), filepath.Join(dir, "link")
	for file, text := range map[string]string{"in/d/key": "theirs", "ca/key": "secret", "ca/other": "secret"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../ca", link); err != nil {
		t.Fatal(err)
	}
	swap := func() error {
		return unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, filepath.Join(in, "d"), unix.RENAME_EXCHANGE)
	}
	root, err := os.OpenRoot(in)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if f, err := readOne(root, "d/key", maxPackage); err != nil || string(f.Text) != "theirs" {
		t.Errorf("%+v, %v", f, err)
	}
	if err := swap(); err != nil {
		t.Fatal(err)
	}
	if f, err := readOne(root, "d/key", maxPackage); err == nil {
		t.Errorf("a directory that has become a link: %q", f.Text)
	}
	var swapping sync.WaitGroup
	done := make(chan struct{})
	swapping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := swap(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 1000 {
		files, _ := readIncluded([]string{in}) // an error: it was a link, just then
		for _, f := range files {
			if strings.Contains(string(f.Text), "secret") {
				t.Errorf("%s is from elsewhere", f.Name)
			}
		}
	}
	close(done)
	swapping.Wait()
}
