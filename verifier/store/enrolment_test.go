package store_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/verifier/verifiertest"
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
