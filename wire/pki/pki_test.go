package pki

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a clock that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// newAuthority makes an authority whose clock stands at 2026-01-01.
func newAuthority(t *testing.T) (*Authority, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	a, err := open(filepath.Join(t.TempDir(), "pki"), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error is %v, want one with %q", err, part)
	}
}

func fileMode(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().String()
}

func TestAuthority(t *testing.T) {
	a, c := newAuthority(t)
	cert := a.Certificate()
	if !cert.IsCA || cert.MaxPathLen != 0 || !cert.MaxPathLenZero || cert.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("CA %v, path length %d, usage %b", cert.IsCA, cert.MaxPathLen, cert.KeyUsage)
	}
	if got, want := cert.NotBefore, c.t.Add(-5*time.Minute); !got.Equal(want) {
		t.Errorf("valid from %v, want %v", got, want)
	}
	if got, want := cert.NotAfter, c.t.Add(20*365*24*time.Hour); !got.Equal(want) {
		t.Errorf("valid until %v, want %v", got, want)
	}
	modes := map[string]string{}
	for _, f := range []string{"", "ca.key", "ca.crt"} {
		modes[f] = fileMode(t, filepath.Join(a.dir, f))
	}
	want := map[string]string{"": "drwx------", "ca.key": "-rw-------", "ca.crt": "-rw-r--r--"}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Error(diff)
	}
	again, err := Open(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Pin() != again.Pin() || !a.cert.Equal(again.cert) {
		t.Error("the second Open found another authority")
	}
}

func TestOpenConcurrently(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
	)
	for range 8 {
		wg.Go(func() {
			a, err := Open(dir)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			seen[fmt.Sprintf("%x", a.Certificate().Raw)]++
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("8 concurrent Opens made %d authorities, want 1", len(seen))
	}
}

func TestAuthorityAfterCrash(t *testing.T) {
	a, _ := newAuthority(t)
	if err := os.Remove(filepath.Join(a.dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	b, err := Open(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Pin() != b.Pin() {
		t.Error("the pin changed although the key was there")
	}
}

func TestI05_AuthorityRefuses(t *testing.T) {
	other, _ := newAuthority(t)
	ca := func(a *Authority, name string) string { return filepath.Join(a.dir, name) }
	tests := []struct {
		name   string
		damage func(t *testing.T, a *Authority) error
		want   string
	}{
		{"key lost", func(t *testing.T, a *Authority) error { return os.Remove(ca(a, "ca.key")) }, "restore it from a backup"},
		{"another key", func(t *testing.T, a *Authority) error { return os.Rename(ca(other, "ca.key"), ca(a, "ca.key")) }, "do not belong together"},
		{"no certificate in its file", func(t *testing.T, a *Authority) error { return os.Truncate(ca(a, "ca.crt"), 0) }, "holds no certificate"},
		{"cut key", func(t *testing.T, a *Authority) error { return os.Truncate(ca(a, "ca.key"), 40) }, "want one PEM block"},
		{"a leaf as authority", func(t *testing.T, a *Authority) error {
			c, err := a.issue(leaf{name: "x"}, a.key.Public())
			if err != nil {
				return err
			}
			return writeCerts(ca(a, "ca.crt"), c.Raw)
		}, "not the certificate of an authority"},
		{"directory open to others", func(t *testing.T, a *Authority) error { return os.Chmod(a.dir, 0o770) }, "chmod go-w"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, c := newAuthority(t)
			if err := tt.damage(t, a); err != nil {
				t.Fatal(err)
			}
			_, err := open(a.dir, c.now)
			wantError(t, err, tt.want)
		})
	}
}

func TestAuthorityExpires(t *testing.T) {
	a, c := newAuthority(t)
	c.t = c.t.Add(authorityLife + time.Second)
	_, err := open(a.dir, c.now)
	wantError(t, err, "expired on")
}

func TestI05_LaxKeyFilesAreRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o610, 0o644} {
		a, c := newAuthority(t)
		if err := a.EnsureClient("tenant", "operator"); err != nil {
			t.Fatal(err)
		}
		caKey, key := filepath.Join(a.dir, "ca.key"), filepath.Join(a.dir, "tenant.key")
		for _, f := range []string{caKey, key} {
			if err := os.Chmod(f, mode); err != nil {
				t.Fatal(err)
			}
		}
		_, err := open(a.dir, c.now)
		wantError(t, err, fmt.Sprintf("%s holds a secret and has mode %04o", caKey, mode))
		wantError(t, err, "chmod 600 "+caKey)
		wantError(t, a.EnsureClient("tenant", "operator"), "chmod 600 "+key)
		_, err = ClientTLS(filepath.Join(a.dir, "ca.crt"), filepath.Join(a.dir, "tenant.crt"), key)
		wantError(t, err, "chmod 600 "+key)
	}
}

func TestI05_KeyMustBeARegularFile(t *testing.T) {
	a, c := newAuthority(t)
	key := filepath.Join(a.dir, "ca.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(key, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := open(a.dir, c.now)
	wantError(t, err, "not a regular file")
}
