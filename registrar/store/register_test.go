package store

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/registrar/credentialtest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestRegisterNew(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	tok := s.token(t, "")
	s.register(t, m, tok, wire.OutcomeNew)
	got := s.machine(t, m)
	want := rest.Machine{
		ID: m.EK.AgentID(), Label: "host", EKPublic: m.EK.Bytes(), AKPublic: m.AK.Bytes(), Transport: m.Transport.Bytes(),
		TokenID: tok.ID, RegisteredAt: got.RegisteredAt, SeenAt: got.RegisteredAt,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.RegisteredAt.Before(tok.CreatedAt) {
		t.Errorf("machine differs (-want +got):\n%s", diff)
	}
	if used := s.tokenOf(t, tok.ID); used.UsedBy != m.EK.AgentID() || used.UsedAt == nil || !used.UsedAt.Equal(got.RegisteredAt) {
		t.Errorf("the token is %+v, want it used by the machine", used)
	}
}

func TestRegisterLabelOfTheToken(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	s.register(t, m, s.token(t, "rack 7"), wire.OutcomeNew)
	if got := s.machine(t, m).Label; got != "rack 7" {
		t.Errorf("label %q, want the token's", got)
	}
	s.register(t, m, s.token(t, ""), wire.OutcomeSame)
	if got := s.machine(t, m).Label; got != "rack 7" {
		t.Errorf("label %q after a token without one, want the old", got)
	}
	s.register(t, m, s.token(t, "rack 8"), wire.OutcomeSame)
	if got := s.machine(t, m).Label; got != "rack 8" {
		t.Errorf("label %q, want the newer token's", got)
	}
}

func TestI23_NoTokenNoMachine(t *testing.T) {
	s, m, other := open(t), credentialtest.New(t), credentialtest.New(t)
	used := s.token(t, "")
	s.register(t, other, used, wire.OutcomeNew)
	expired, wrong := s.token(t, ""), s.token(t, "")
	s.exec(t, "UPDATE join_tokens SET expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id = ?", expired.ID)
	wrong.Secret = bytes.Repeat([]byte{1}, 32)
	before := s.dump(t)
	for name, tok := range map[string]rest.JoinTokenSecret{
		"none":                {},
		"unknown":             {JoinToken: rest.JoinToken{ID: "0123456789abcdef"}, Secret: used.Secret},
		"used":                used,
		"expired":             expired,
		"with a wrong secret": wrong,
		"without a secret":    {JoinToken: wrong.JoinToken},
	} {
		if out, err := s.Register(t.Context(), registrationOf(t, m, tok)); !errors.Is(err, ErrToken) {
			t.Errorf("token %s: Register = %q, %v, want ErrToken", name, out, err)
		}
	}
	if diff := cmp.Diff(before, s.dump(t)); diff != "" {
		t.Errorf("registrations that were refused changed (-before +after):\n%s", diff)
	}
}

func TestRegisterSame(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	first := s.token(t, "")
	s.register(t, m, first, wire.OutcomeNew)
	s.exec(t, "UPDATE machines SET seen_at = 1")
	for name, tok := range map[string]rest.JoinTokenSecret{"no token": {}, "its own token": first} {
		s.register(t, m, tok, wire.OutcomeSame)
		if got := s.machine(t, m); got.TokenID != first.ID || !got.SeenAt.After(got.RegisteredAt.Add(-1)) || got.Offered != nil {
			t.Errorf("with %s: %+v", name, got)
		}
	}
	second := s.token(t, "")
	s.register(t, m, second, wire.OutcomeSame)
	if got := s.machine(t, m); got.TokenID != second.ID {
		t.Errorf("bound by token %s, want the second, %s", got.TokenID, second.ID)
	}
	if got := s.tokenOf(t, second.ID); got.UsedBy != m.EK.AgentID() {
		t.Errorf("the second token is used by %q: it may be used again", got.UsedBy)
	}
}

func TestI11_OtherKeysAreNotInForce(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	s.register(t, m, s.token(t, "rack 7"), wire.OutcomeNew)
	before := s.machine(t, m)
	for n := 1; n <= 2; n++ {
		m.Clear(t)
		refused := s.dump(t)
		if _, err := s.Register(t.Context(), registrationOf(t, m, rest.JoinTokenSecret{})); !errors.Is(err, ErrToken) {
			t.Errorf("other keys without a token: %v, want ErrToken", err)
		}
		if diff := cmp.Diff(refused, s.dump(t)); diff != "" {
			t.Errorf("the refused registration changed (-before +after):\n%s", diff)
		}
		tok := s.token(t, "rack 8")
		s.register(t, m, tok, wire.OutcomeOtherKeys)
		got := s.machine(t, m)
		want := before
		want.Offered = &rest.Offered{AKPublic: m.AK.Bytes(), Transport: m.Transport.Bytes(), TokenID: tok.ID, Count: n, SeenAt: got.Offered.SeenAt}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("machine differs (-want +got):\n%s", diff)
		}
	}
}

func TestI11_RegisterOtherKeysRepeated(t *testing.T) {
	s, m, other := open(t), credentialtest.New(t), credentialtest.New(t)
	s.register(t, m, s.token(t, ""), wire.OutcomeNew)
	s.register(t, other, s.token(t, ""), wire.OutcomeNew)
	m.Clear(t)
	tok := s.token(t, "")
	s.register(t, m, tok, wire.OutcomeOtherKeys)
	s.register(t, m, tok, wire.OutcomeOtherKeys)
	if got := s.machine(t, m).Offered.Count; got != 2 {
		t.Errorf("counted %d registrations with other keys, want 2", got)
	}
	wrong := tok
	wrong.Secret = bytes.Repeat([]byte{1}, 32)
	other.Clear(t)
	for name, r := range map[string]Registration{
		"with a wrong secret":          registrationOf(t, m, wrong),
		"without a token":              registrationOf(t, m, rest.JoinTokenSecret{}),
		"by another machine":           registrationOf(t, other, tok),
		"with other keys under it yet": func() Registration { m.Clear(t); return registrationOf(t, m, tok) }(),
	} {
		if out, err := s.Register(t.Context(), r); !errors.Is(err, ErrToken) {
			t.Errorf("%s: Register = %q, %v, want ErrToken", name, out, err)
		}
	}
}

func TestRegisterAfterDelete(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	tok := s.token(t, "")
	s.register(t, m, tok, wire.OutcomeNew)
	if err := s.Delete(t.Context(), m.EK.AgentID()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(t.Context(), registrationOf(t, m, tok)); !errors.Is(err, ErrToken) {
		t.Errorf("a forgotten machine with its old token: %v, want ErrToken", err)
	}
}

func TestI23_OneTokenOneMachine(t *testing.T) {
	s := open(t)
	tok := s.token(t, "")
	const machines = 8
	var all [machines]Registration
	for i := range all {
		all[i] = registrationOf(t, credentialtest.New(t), tok)
	}
	var wg sync.WaitGroup
	var errs [machines]error
	for i := range all {
		wg.Go(func() { _, errs[i] = s.Register(t.Context(), all[i]) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrToken):
			t.Error(err)
		}
	}
	l, err := s.Machines(t.Context())
	if err != nil || won != 1 || len(l.Rows) != 1 {
		t.Errorf("%d registrations won, %d machines, error %v, want 1 of each", won, len(l.Rows), err)
	}
}
