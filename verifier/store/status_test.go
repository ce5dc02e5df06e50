package store_test

import (
	"errors"
	"testing"
	"time"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestI07_I22_AgentThroughItsStates(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	if a := trust(t, s); a.Trust != wire.Pending || a.Policies.Runtime != "web" || a.Policies.Boot != wire.NotEvaluated || a.Epoch != nil {
		t.Errorf("enrolled: %+v", a)
	}
	m.File("/bin/a", good)
	st := commit(t, s, m, e, p)
	if a := trust(t, s); a.Trust != wire.Trusted || a.Epoch.Entries != 2 || a.Last.First != 0 || a.Last.Entries != 2 || a.Revision != st.Revision {
		t.Errorf("attested: %+v", a)
	}
	m.File("/bin/a", bad)
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	if a := trust(t, s); a.Trust != wire.Untrusted || a.FailureCount != 2 || a.Epoch.Entries != 4 || a.Last.First != 2 {
		t.Errorf("failed: %+v", a)
	}
	failures, _, err := s.Failures(t.Context(), verifiertest.AgentID)
	if err != nil || len(failures) != 2 || failures[0].ID != wire.IMAWrongDigest || *failures[0].Entry != 2 || failures[1].ID != wire.IMANotInPolicy {
		t.Errorf("%+v, %v", failures, err)
	}
	if err := clearSeen(t, s, 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cleared unseen: %v", err)
	}
	if err := clearSeen(t, s, 2); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Trusted || a.FailureCount != 0 {
		t.Errorf("cleared: %+v", a)
	}
}

func TestI07_TrustRunsOut(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(-time.Hour)
	a.TrustedUntil = a.NonceIssued.Add(time.Minute)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.Trust != wire.Stale {
		t.Errorf("%+v", got)
	}
	// An older nonce never shortens trust that a newer one brought.
	commit(t, s, m, e, p)
	st = standing(t, s, e)
	a = attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(-time.Hour)
	a.TrustedUntil = a.NonceIssued.Add(time.Minute)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.Trust != wire.Trusted {
		t.Errorf("%+v", got)
	}
}

func TestI21_WithoutAPolicyNothingIsTrusted(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	commit(t, s, m, e, nil)
	if a := trust(t, s); a.Trust != wire.Unjudged || a.Policies.Runtime != wire.NotEvaluated {
		t.Errorf("%+v", a)
	}
	addPolicy(t, s, "empty")
	name := "empty"
	if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &name}); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Unjudged || a.Policies.Runtime != wire.NotEvaluated {
		t.Errorf("an empty policy: %+v", a)
	}
}

// I07: a nonce that was issued by a clock that was ahead brings no trust once the
// clock is right.
func TestI07_ClockSetBack(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(24 * time.Hour)
	a.TrustedUntil = a.TrustedUntil.Add(24 * time.Hour)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.FreshUntil.After(time.Now().Add(2 * time.Minute)) {
		t.Errorf("fresh until %v", got.FreshUntil)
	}
}
