package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// I22: a verdict computed under a policy that is not in force any more, or for an
// agent whose policy was changed, cannot be committed.
func TestI22_PolicyChangesRaceEvidence(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	addPolicy(t, s, "db", "/bin/a")
	e := enrol(t, s, m, "web")
	db := "db"
	type change struct {
		name string
		do   func() error
	}
	try := func(c change) {
		st := standing(t, s, e)
		a := attest(t, s, m, st, p)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, c := range []change{
		{"failures cleared", func() error { return clearSeen(t, s, 0) }},
		{"a rejection in between", func() error { return s.Reject(t.Context(), e, wire.QuoteInvalid, "x") }},
		{"policy replaced", func() error { r, _ := policyOf(t, "web", "/bin/b"); return s.RuntimePolicies.Update(t.Context(), r) }},
		{"judged by one that is not in force", func() error { return nil }},
		{"policy exchanged", func() error { return s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &db}) }},
	} {
		try(c)
	}
}

func TestI22_Rejudge(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/b", good)
	m.File("/bin/c", good)
	commit(t, s, m, e, p)
	m.Reboot()
	m.File("/bin/b", good)
	commit(t, s, m, e, p)
	if a := trust(t, s); a.FailureCount != 3 {
		t.Fatalf("%+v", a)
	}

	r, next := policyOf(t, "web", "/bin/a", "/bin/b")
	if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := clearSeen(t, s, 3); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Pending {
		t.Errorf("before it is judged again: %+v", a)
	}
	all, err := s.Unjudged(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != e.ID || all[0].SPKI != e.SPKI {
		t.Fatalf("%+v, %v", all, err)
	}
	st := standing(t, s, e)
	o := again(t, s, e, st, m.Standing(), next)
	if !o.Accepted || len(o.Result.Failures) != 0 {
		t.Fatalf("%+v", o)
	}
	if next, err := s.Rejudge(t.Context(), e, st, store.Rejudged{Result: o.Result, Failed: o.Failed}); err != nil || next.Revision <= st.Revision {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Trusted {
		t.Errorf("%+v", a)
	}
	if _, err := s.Rejudge(t.Context(), e, st, store.Rejudged{Result: o.Result, Failed: o.Failed}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from an old state: %v", err)
	}
}

func TestPoliciesInUseStay(t *testing.T) {
	s := newStore(t)
	addPolicy(t, s, "web", "/bin/a")
	enrol(t, s, verifiertest.New(t), "web")
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); !errors.Is(err, store.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

func TestSignedPolicyKeepsItsEnvelope(t *testing.T) {
	s := newStore(t)
	keepsEnvelope(t, s.RuntimePolicies, func(p rest.Policy) rest.RuntimePolicy { return rest.RuntimePolicy{Policy: p} }, (*rest.RuntimePolicy).Common)
	keepsEnvelope(t, s.BootPolicies, func(p rest.Policy) rest.BootPolicy { return rest.BootPolicy{Policy: p} }, (*rest.BootPolicy).Common)
}

func keepsEnvelope[T any](t *testing.T, s store.Policies[T], of func(rest.Policy) T, common func(*T) *rest.Policy) {
	t.Helper()
	p := rest.Policy{Name: "p", Text: "{}", Digest: "d", Envelope: "{\"payload\": \"e30=\"}\n", SignedBy: []rest.Signer{{KeyID: "k", Subject: "CN=é"}}}
	if err := s.Add(t.Context(), of(p)); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Signed(t.Context(), "p")
	if got := common(&stored); err != nil || got.Text != p.Text || got.Envelope != p.Envelope || !slices.Equal(got.SignedBy, p.SignedBy) {
		t.Errorf("%+v, %v", got, err)
	}
	stored, err = s.Get(t.Context(), "p")
	if got := common(&stored); err != nil || got.Envelope != "" || !slices.Equal(got.SignedBy, p.SignedBy) {
		t.Errorf("%+v, %v", got, err)
	}
	p.Envelope, p.SignedBy = "", nil
	if err := s.Update(t.Context(), of(p)); err != nil {
		t.Fatal(err)
	}
	stored, err = s.Signed(t.Context(), "p")
	if got := common(&stored); err != nil || got.Envelope != "" || got.SignedBy != nil {
		t.Errorf("replaced by one that nobody signed: %+v, %v", got, err)
	}
}

// The status of a machine names who signed the policies that it is judged by.
func TestStatusNamesSigners(t *testing.T) {
	s, m := newStore(t), verifiertest.New(t)
	runtime, boot := []rest.Signer{{KeyID: "k", Subject: "CN=é"}}, []rest.Signer{{KeyID: "l"}}
	p := rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Text: "{}", Digest: "d", Envelope: "x", SignedBy: runtime}}
	err := errors.Join(
		s.RuntimePolicies.Add(t.Context(), p),
		s.BootPolicies.Add(t.Context(), rest.BootPolicy{Policy: rest.Policy{Name: "front", Text: "{}", Digest: "e", Envelope: "x", SignedBy: boot}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	enrol(t, s, m, "web")
	front := "front"
	if err := s.Update(t.Context(), m.AgentID, rest.AgentUpdate{BootPolicy: &front}); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s).Policies; !slices.Equal(got.RuntimeSignedBy, runtime) || !slices.Equal(got.BootSignedBy, boot) {
		t.Errorf("%+v", got)
	}
	p.Envelope, p.SignedBy = "", nil
	if err := s.RuntimePolicies.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s).Policies; got.RuntimeSignedBy != nil || !slices.Equal(got.BootSignedBy, boot) {
		t.Errorf("%+v", got)
	}
}

func TestPolicyKeepsItsBytes(t *testing.T) {
	s := newStore(t)
	text := "{ \"meta\": {\"version\": 1},\n\"x\": \"<\\u00e9\" }\n"
	sum := sha256.Sum256([]byte(text))
	if err := s.RuntimePolicies.Add(t.Context(), rest.RuntimePolicy{Policy: rest.Policy{Name: "p", Text: text, Digest: hex.EncodeToString(sum[:])}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.RuntimePolicies.Text(t.Context(), hex.EncodeToString(sum[:]))
	if err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}
