package state

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/tenant/ca"
)

func create(t *testing.T, dir string) {
	t.Helper()
	d, err := Create(dir, func() (ca.Authority, ca.Register, error) {
		a, err := ca.New("Test CA", ca.P256, time.Hour, time.Now())
		return a, ca.NewRegister(time.Hour), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// issueOne does what a program does between Open and Close.
func issueOne(dir, name string) error {
	d, err := Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	c, err := d.Authority.Issue(ca.Request{Name: name, Public: d.Authority.Key().Public(), Life: time.Minute}, time.Now())
	if err != nil {
		return err
	}
	r := d.Register
	if _, err := r.Add(c, ca.Names{}, time.Now()); err != nil {
		return err
	}
	der, r, err := d.Authority.Revocations(r, time.Now())
	if err != nil {
		return err
	}
	return d.SaveList(r, der)
}

// Of many at once each has its own serial number and its own number of a list.
func TestManyAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	create(t, dir)
	const many = 20
	var g sync.WaitGroup
	for i := range many {
		g.Go(func() {
			if err := issueOne(dir, fmt.Sprint("name-", i)); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names := map[string]bool{}
	for _, e := range d.Register.Certificates {
		names[e.Name] = true
	}
	if len(names) != many || d.Register.List.Number != many {
		t.Errorf("%d names, list %d", len(names), d.Register.List.Number)
	}
	der, err := os.ReadFile(filepath.Join(dir, derFile))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := x509.ParseRevocationList(der); err != nil || l.Number.Int64() != many {
		t.Errorf("%v, %v", l, err)
	}
}

func TestCreateReplacesNoAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where nothing is: %v", err)
	}
	create(t, dir)
	before, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(dir, func() (ca.Authority, ca.Register, error) { panic("made anew") })
	after, _ := os.ReadFile(filepath.Join(dir, keyFile))
	if !errors.Is(err, fs.ErrExist) || string(before) != string(after) {
		t.Errorf("%v", err)
	}
	// A crash before the certificate was there leaves no authority.
	if err := os.Remove(filepath.Join(dir, certFile)); err != nil {
		t.Fatal(err)
	}
	create(t, dir)
	if err := issueOne(dir, "x"); err != nil {
		t.Error(err)
	}
}

func TestI05_LaxFilesAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	create(t, dir)
	for _, c := range []struct {
		file string
		mode fs.FileMode
		want string
	}{
		{keyFile, 0o640, "chmod 600"},
		{keyFile, 0o604, "chmod 600"},
		{"", 0o770, "chmod go-w"},
		{"", 0o702, "chmod go-w"},
	} {
		file := filepath.Join(dir, c.file)
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s was made with mode %v", file, st.Mode())
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := issueOne(dir, "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with mode %v: %v", file, c.mode, err)
		}
		if err := os.Chmod(file, st.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := issueOne(dir, "x"); err != nil {
		t.Error(err)
	}
}

func TestI04_DamageIsNoAuthority(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "ca")
	create(t, whole)
	for _, c := range []struct{ file, text, want string }{
		{certFile, "", "PEM block"},
		{keyFile, "", "PEM block"},
		{registerFile, "{}", "version 0"},
		{registerFile, strings.Repeat(" ", ca.MaxRegister+1), "larger than"},
		{certFile, strings.Repeat(" ", ca.MaxPEM+1), "larger than"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, keyFile), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := issueOne(dir, "x"); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s: %v, want %q", c.file, err, c.want)
		}
	}
}
