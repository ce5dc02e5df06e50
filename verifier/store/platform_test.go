package store_test

import (
	"errors"
	"testing"

	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func bootPolicy(text string) rest.BootPolicy {
	return rest.BootPolicy{Policy: rest.Policy{Name: "front", Digest: text, Text: text}, Kernels: 1, SecureBoot: true}
}

func TestBootPolicies(t *testing.T) {
	s := newStore(t)
	if err := s.BootPolicies.Update(t.Context(), bootPolicy("a")); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if err := s.BootPolicies.Add(t.Context(), bootPolicy("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.BootPolicies.Add(t.Context(), bootPolicy("b")); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	m := verifiertest.New(t)
	enrol(t, s, m, "")
	front, back := "front", "back"
	before := trust(t, s).Revision
	if err := s.Update(t.Context(), m.AgentID, rest.AgentUpdate{BootPolicy: &back}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if a := trust(t, s); a.Revision != before {
		t.Error("an update that failed raised the revision")
	}
	if err := s.Update(t.Context(), m.AgentID, rest.AgentUpdate{BootPolicy: &front}); err != nil {
		t.Fatal(err)
	}
	if err := s.BootPolicies.Delete(t.Context(), front); !errors.Is(err, store.ErrInUse) {
		t.Error(err)
	}
	before = trust(t, s).Revision
	if err := s.BootPolicies.Update(t.Context(), bootPolicy("b")); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Revision <= before || a.Policies.Boot != front || a.Policies.BootDigest != "b" {
		t.Errorf("%+v", a)
	}
	p, err := s.BootPolicies.Get(t.Context(), front)
	if err != nil || p.Text != "b" || p.Agents != 1 || p.Kernels != 1 || !p.SecureBoot {
		t.Errorf("%+v, %v", p, err)
	}
	if all, err := s.BootPolicies.List(t.Context()); err != nil || len(all) != 1 || all[0].Text != "" || all[0].Digest != "b" {
		t.Errorf("%+v, %v", all, err)
	}
	if text, err := s.BootPolicies.Text(t.Context(), "b"); err != nil || string(text) != "b" {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := s.BootPolicies.Text(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	none := ""
	if err := s.Update(t.Context(), m.AgentID, rest.AgentUpdate{BootPolicy: &none}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.BootPolicies.Delete(t.Context(), front)); err != nil {
		t.Error(err)
	}
	if err := s.BootPolicies.Delete(t.Context(), front); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

// I22: an opinion counts only if it is by the policies that are in force when it is
// committed, whatever the revision says.
func TestI22_AnOpinionIsByWhatIsInForce(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	if err := s.BootPolicies.Add(t.Context(), bootPolicy("a")); err != nil {
		t.Fatal(err)
	}
	front, tpm := "front", rest.Text(`{"16":""}`)
	for name, u := range map[string]rest.AgentUpdate{"boot": {BootPolicy: &front}, "TPM": {TPMPolicy: &tpm}} {
		if err := s.Update(t.Context(), m.AgentID, u); err != nil {
			t.Fatal(err)
		}
		st := standing(t, s, e)
		a := attest(t, s, m, st, p)
		if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrConflict) {
			t.Errorf("under no %s policy: %v", name, err)
		}
		a.Opinion.Boot, a.Opinion.PCRs = st.BootInForce, st.PCRsInForce
		st, err := s.Commit(t.Context(), e, st, a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Opine(t.Context(), e, st, store.Opinion{Opinion: appraise.Opinion{Boot: "b", PCRs: "c"}}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("under another %s policy: %v", name, err)
		}
	}
	if a := trust(t, s); a.Trust != wire.Trusted {
		t.Errorf("%+v", a)
	}
}
