package store_test

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm/softtpm"
)

// I06: what an enrolment pins changes under no statement, only with another
// enrolment, whose number is another.
func TestI06_AnEnrolmentIsImmutable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, column := range []string{"agent", "ek", "ak", "transport", "spki", "lowest_bank", "enrolled_at"} {
		_, err := db.Exec(`UPDATE enrolment SET ` + column + ` = ` + column)
		if err == nil || !strings.Contains(err.Error(), "immutable") {
			t.Errorf("%s: %v", column, err)
		}
	}
	other := softtpm.NewTransport(t)
	ended, err := s.Rebind(t.Context(), rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: softtpm.New(t).Public.Bytes(),
		Transport: other.Public.Bytes(), LowestBank: pcr.SHA256})
	if err != nil || ended != e.ID {
		t.Fatalf("ended %d, %v", ended, err)
	}
	if now := bySPKI(t, s, other); now.ID == e.ID {
		t.Error("the number of an enrolment is used again")
	}
	if _, err := s.BySPKI(t.Context(), e.SPKI); err == nil {
		t.Error("the transport key of before is still taken")
	}
}

// I22, the ABA case: an agent is deleted and enrolled again with the same keys,
// so that everything looks as before. Evidence for the first enrolment does not
// count for the second.
func TestI22_DeleteAndEnrolAgain(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	transport := softtpm.NewTransport(t)
	again := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(), Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: "web"}
	if err := s.Enrol(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	e := bySPKI(t, s, transport)
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := s.Enrol(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	second := bySPKI(t, s, transport)
	if second.ID == e.ID || standing(t, s, second).Revision != st.Revision {
		t.Fatalf("the same record again, or another revision: %+v", second)
	}
	if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("enrolled again: %v", err)
	}
	if a := trust(t, s); a.Trust != wire.Pending {
		t.Errorf("%+v", a)
	}
}

func TestI06_I11_EnrolmentIsUnique(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	transport := softtpm.NewTransport(t)
	e := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(), Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256}
	if err := s.Enrol(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Enrol(t.Context(), e); !errors.Is(err, store.ErrConflict) {
		t.Errorf("again: %v", err)
	}
	other := e
	other.ID = hex.EncodeToString(bytes.Repeat([]byte{2}, 32))
	if err := s.Enrol(t.Context(), other); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another agent with the same transport key: %v", err)
	}
	twice := e
	twice.Transport = softtpm.NewTransport(t).Public.Bytes()
	if err := s.Enrol(t.Context(), twice); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same agent with another transport key: %v", err)
	}
	other.Transport, other.Policy = softtpm.NewTransport(t).Public.Bytes(), "none"
	if err := s.Enrol(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown policy: %v", err)
	}
	if _, err := s.Rebind(t.Context(), e); !errors.Is(err, store.ErrConflict) {
		t.Errorf("rebound to the same keys: %v", err)
	}
	e.Transport = softtpm.NewTransport(t).Public.Bytes()
	if _, err := s.Rebind(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := s.BySPKI(t.Context(), spkiOf(t, transport)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the old transport key: %v", err)
	}
}
