// Package storetest has a store on disk, with machines in it, for tests of what works
// on one. It is imported by tests only.
package storetest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// New opens a new store, which runs until the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "verifier.db"), store.Routing{})
}

// Open opens the store at path, which runs until the test and all cleanups that are
// registered later have ended.
func Open(t testing.TB, path string, r store.Routing) *store.Store {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Route(r)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Enrol enrols a machine under a runtime policy, or none, and returns the record.
func Enrol(t testing.TB, s *store.Store, m *verifiertest.Machine, policy string) store.Enrolment {
	t.Helper()
	transport := softtpm.NewTransport(t)
	err := s.Enrol(t.Context(), rest.Enrolment{ID: m.AgentID, Label: "box", EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(),
		Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	return BySPKI(t, s, transport)
}

// BySPKI returns the enrolment that pins a transport key.
func BySPKI(t testing.TB, s *store.Store, transport *softtpm.AK) store.Enrolment {
	t.Helper()
	spki, err := tpm.SPKIHash(transport.Public.Key())
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.BySPKI(t.Context(), spki)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
