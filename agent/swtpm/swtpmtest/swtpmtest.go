// Package swtpmtest gives tests TPMs of their own.
package swtpmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"quicklime/agent/swtpm"
	"quicklime/wire/pcr"
)

// Create makes a TPM that is powered off and returns its directory. TPMs of one
// test program that have the same banks have the same seeds, and so the same
// keys: making them takes a second, copying them nothing.
func Create(t testing.TB, banks ...pcr.Bank) string {
	t.Helper()
	original, err := originals.get(fmt.Sprint(banks), banks)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Start powers the TPM below dir on, until the test ends.
func Start(t testing.TB, dir string) *swtpm.TPM {
	t.Helper()
	p, err := swtpm.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// New makes a TPM and powers it on.
func New(t testing.TB, banks ...pcr.Bank) *swtpm.TPM {
	t.Helper()
	return Start(t, Create(t, banks...))
}

// Main runs the tests of a package that uses Create, and removes what it made.
func Main(m *testing.M) int {
	defer originals.remove()
	return m.Run()
}

// store keeps one TPM for each set of banks.
type store struct {
	mu   sync.Mutex
	root string
	made map[string]string
}

var originals = store{made: make(map[string]string)}

func (s *store) get(name string, banks []pcr.Bank) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir := s.made[name]; dir != "" {
		return dir, nil
	}
	if s.root == "" {
		root, err := os.MkdirTemp("", "swtpmtest")
		if err != nil {
			return "", err
		}
		s.root = root
	}
	dir := filepath.Join(s.root, fmt.Sprint(len(s.made)))
	if err := swtpm.Create(context.Background(), dir, banks); err != nil {
		return "", err
	}
	s.made[name] = dir
	return dir, nil
}

func (s *store) remove() {
	if s.root != "" {
		os.RemoveAll(s.root)
	}
}
