package store_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// loaded is the event of a certificate that was loaded into a keyring.
func loaded(keyring string, certificate []byte) ima.Entry {
	e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(certificate), keyring)
	e.Template = []byte("ima-buf")
	e.Data = append(binary.LittleEndian.AppendUint32(e.Data, uint32(len(certificate))), certificate...)
	return e
}

// I17: what an epoch has taught is kept with its state, forgotten with the epoch, and
// learned anew when it is judged again.
func TestI17_WhatWasLearnedIsKept(t *testing.T) {
	certificate, err := os.ReadFile("../../testdata/captures/ca/x509_ima.der")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	text := fmt.Sprintf(`{"meta":{"version":1},"keyrings":{".ima":["%x"]}}`, pcr.SHA256.Sum(certificate))
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RuntimePolicies.Add(t.Context(), rest.RuntimePolicy{Policy: rest.Policy{Name: "keys", Digest: p.Digest(), Text: text}}); err != nil {
		t.Fatal(err)
	}
	m := verifiertest.New(t)
	e := enrol(t, s, m, "keys")
	learned := func(s *store.Store) []byte {
		b, err := standing(t, s, e).Learned.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m.Measure(loaded(".ima", certificate))
	commit(t, s, m, e, p)
	one := learned(s)
	m.File("/bin/a", bad)
	commit(t, s, m, e, p)
	if two := learned(s); len(one) == 0 || !slices.Equal(one, two) {
		t.Errorf("learned %x, then %x", one, two)
	}
	if b := learned(open(t, path)); !slices.Equal(b, one) {
		t.Errorf("after a restart %x, want %x", b, one)
	}
	st := standing(t, s, e)
	o := again(t, s, e, st, m.Standing(), nil)
	if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: new("")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rejudge(t.Context(), e, standing(t, s, e), store.Rejudged{Result: o.Result, Learned: o.Learned}); err != nil {
		t.Fatal(err)
	}
	if b := learned(s); len(b) != 0 {
		t.Errorf("without a policy %x is learned", b)
	}
	if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: new("keys")}); err != nil {
		t.Fatal(err)
	}
	o = again(t, s, e, standing(t, s, e), m.Standing(), p)
	if _, err := s.Rejudge(t.Context(), e, standing(t, s, e), store.Rejudged{Result: o.Result, Learned: o.Learned, Failed: o.Failed}); err != nil {
		t.Fatal(err)
	}
	if b := learned(s); !slices.Equal(b, one) {
		t.Errorf("judged again %x, want %x", b, one)
	}
	m.Reboot()
	commit(t, s, m, e, p)
	if b := learned(s); len(b) != 0 {
		t.Errorf("after a reboot %x is known", b)
	}
}

// I16: that a bank is extended with padded SHA-1 stays with the point where the list
// goes on.
func TestI16_APaddedBankStaysSo(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	m.Pad()
	commit(t, s, m, e, nil)
	m.File("/bin/a", good)
	st := commit(t, s, m, e, nil)
	if !st.Resume.Padded() || st.Resume != m.PCR {
		t.Errorf("goes on at %+v, want %+v", st.Resume, m.PCR)
	}
	if o := again(t, s, e, st, m.Standing(), nil); !o.Accepted {
		t.Errorf("the stored list does not fit its proof: %+v", o.Result.Failures)
	}
}
