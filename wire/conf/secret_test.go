package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestI05_ReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o600, 0o400, 0o640, 0o604, 0o660, 0o601} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		b, err := ReadSecret(file, 6)
		if mode&0o077 == 0 {
			if string(b) != "secret" || err != nil {
				t.Errorf("mode %04o: %q, %v", mode, b, err)
			}
			continue
		}
		want := fmt.Sprintf("%s holds a secret and has mode %04o", file, mode)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "chmod 600 "+file) {
			t.Errorf("mode %04o: error is %v, want %q and what to do", mode, err, want)
		}
	}
}

func TestI04_I05_ReadSecretRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo, long := filepath.Join(dir, "fifo"), filepath.Join(dir, "long")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, []byte("secrets"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ file, want string }{
		{dir, "not a regular file"},
		{fifo, "not a regular file"},
		{long, "larger than 6 bytes"},
		{filepath.Join(dir, "absent"), "no such file"},
	}
	for _, tt := range tests {
		if _, err := ReadSecret(tt.file, 6); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", tt.file, err, tt.want)
		}
	}
}
