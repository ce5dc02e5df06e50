package keep_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/agent/keep"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "value")
	if _, err := keep.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	for _, value := range []string{`{"last":1}`, "../../etc/passwd", "a\nb\xff", strings.Repeat("x", keep.Max)} {
		if err := keep.Write(path, value); err != nil {
			t.Fatal(err)
		}
		if got, err := keep.Read(path); err != nil || got != value {
			t.Errorf("%.20q, %v; want %.20q", got, err, value)
		}
	}
	for _, value := range []string{"", "a\x00b", strings.Repeat("x", keep.Max+1)} {
		if keep.Write(path, value) == nil || keep.Create(filepath.Join(dir, "other"), value) == nil {
			t.Errorf("%.20q was kept", value)
		}
	}
	if got, err := keep.Read(path); err != nil || len(got) != keep.Max {
		t.Errorf("a refused value took the place of the last: %.20q, %v", got, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%v, %v are left", all, err)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "value")
	if err := keep.Create(path, "first"); err != nil {
		t.Fatal(err)
	}
	if err := keep.Create(path, "second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if got, err := keep.Read(path); err != nil || got != "first" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatIsNoLinkIsNoValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Read(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
