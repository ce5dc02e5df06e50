package registrar_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/registration"
	"quicklime/registrar"
	"quicklime/wire"
	"quicklime/wire/jointoken"
	"quicklime/wire/rest"
)

func TestJoin(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	token := in.token(rest.JoinTokenRequest{})

	got := in.join(m, token, wire.OutcomeNew)
	if want := token.Membership(got.ID); got != want {
		t.Errorf("membership differs (-want +got):\n%s", cmp.Diff(want, got))
	}
	e, err := m.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	ak, err := m.AK()
	if err != nil {
		t.Fatal(err)
	}
	transport, err := m.Transport()
	if err != nil {
		t.Fatal(err)
	}
	known := in.machine(got.ID)
	want := rest.Machine{
		ID: got.ID, Label: "web-1", EKPublic: e.Public, EKCertificate: e.Certificates[0], EKVendor: "id:00001014", EKTrusted: true,
		AKPublic: ak, Transport: transport.PublicArea(), TokenID: token.ID, RegisteredAt: known.RegisteredAt, SeenAt: known.RegisteredAt,
	}
	if diff := cmp.Diff(want, known); diff != "" {
		t.Errorf("machine differs (-want +got):\n%s", diff)
	}

	// The same keys again, with the used token and after a restart of both.
	in.restart(func(*registrar.Config) {})
	token.Registrar.Address = in.at.Registration.String()
	in.join(m, token, wire.OutcomeSame)
	if again := in.machine(got.ID); !again.SeenAt.After(known.SeenAt) || !again.RegisteredAt.Equal(known.RegisteredAt) {
		t.Errorf("seen at %v and registered at %v, before %v and %v", again.SeenAt, again.RegisteredAt, known.SeenAt, known.RegisteredAt)
	}
	var list rest.MachineList
	in.call(rest.ListMachines, "", nil, &list, http.StatusOK)
	if len(list.Agents) != 1 {
		t.Errorf("%d machines, want 1", len(list.Agents))
	}
}

func TestTokens(t *testing.T) {
	m, other := newMachine(t), newMachine(t)
	in := newInstallation(t, m, other)
	token := in.token(rest.JoinTokenRequest{Label: "rack 7"})
	id := in.join(m, token, wire.OutcomeNew).ID
	if got := in.machine(id).Label; got != "rack 7" {
		t.Errorf("label %q, want the token's", got)
	}
	in.refuses(other, token, wire.RefusedToken) // used

	expired := in.token(rest.JoinTokenRequest{ExpiresIn: 1})
	eventually(t, "the token expires", func() bool { return time.Now().After(expired.Expires) })
	in.refuses(other, expired, wire.RefusedToken)

	unknown := in.token(rest.JoinTokenRequest{})
	unknown.ID = "0123456789abcdef"
	in.refuses(other, unknown, wire.RefusedToken)

	fresh := in.token(rest.JoinTokenRequest{})
	wrong := fresh
	wrong.Secret[0] ^= 1
	in.refuses(other, wrong, wire.RefusedToken)
	in.join(other, fresh, wire.OutcomeNew) // the failed try did not use it up

	var list rest.JoinTokenList
	in.call(rest.ListJoinTokens, "", nil, &list, http.StatusOK)
	users := map[string]string{}
	for _, tok := range list.Tokens {
		users[tok.ID] = tok.UsedBy
	}
	if users[token.ID] != id || users[expired.ID] != "" || len(list.Tokens) != 4 {
		t.Errorf("tokens are used by %v", users)
	}
}

func TestI11_ClearedTPMIsNotLetInAgain(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	token := in.token(rest.JoinTokenRequest{})
	id := in.join(m, token, wire.OutcomeNew).ID
	before := in.machine(id)

	m.clear()
	in.refuses(m, token, wire.RefusedToken)
	in.join(m, in.token(rest.JoinTokenRequest{}), wire.OutcomeOtherKeys)
	got := in.machine(id)
	if !bytes.Equal(got.Transport, before.Transport) || got.Offered == nil || got.Offered.Count != 1 || bytes.Equal(got.Offered.Transport, before.Transport) {
		t.Fatalf("after TPM2_Clear the machine is %+v", got)
	}

	in.call(rest.AcceptKeys, id, rest.AcceptKeysRequest{KeysHash: rest.KeysHash(before.AKPublic, got.Offered.Transport[1:])}, nil, http.StatusConflict)
	var accepted rest.Machine
	in.call(rest.AcceptKeys, id, rest.AcceptKeysRequest{KeysHash: rest.KeysHash(got.Offered.AKPublic, got.Offered.Transport)}, &accepted, http.StatusOK)
	if !bytes.Equal(accepted.Transport, got.Offered.Transport) || accepted.Offered != nil {
		t.Errorf("after they were accepted the machine is %+v", accepted)
	}
	in.join(m, token, wire.OutcomeSame)

	in.call(rest.DeleteMachine, id, nil, nil, http.StatusNoContent)
	in.call(rest.GetMachine, id, nil, nil, http.StatusNotFound)
	in.refuses(m, token, wire.RefusedToken)
}

func TestI23_Endorsement(t *testing.T) {
	m, foreign := newMachine(t), newMachine(t)
	in := newInstallation(t, m)

	in.refuses(foreign, in.token(rest.JoinTokenRequest{}), wire.RefusedCertificate)
	e, err := foreign.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	in.refuses(withCertificate{m, e.Certificates[0]}, in.token(rest.JoinTokenRequest{}), wire.RefusedEK)
	id := in.join(without{m}, in.token(rest.JoinTokenRequest{}), wire.OutcomeNew).ID
	if got := in.machine(id); got.EKTrusted || got.EKCertificate != nil || got.EKVendor != "" {
		t.Errorf("an EK without certificate is trusted: %+v", got)
	}

	in.join(m, in.token(rest.JoinTokenRequest{}), wire.OutcomeSame)
	in.join(without{m}, in.token(rest.JoinTokenRequest{}), wire.OutcomeSame)
	if got := in.machine(id); !got.EKTrusted || got.EKVendor != "id:00001014" {
		t.Errorf("an EK that was trusted once is not any more: %+v", got)
	}

	in.restart(func(c *registrar.Config) { c.EKCertificate = registrar.EKRequire })
	in.refuses(without{m}, in.token(rest.JoinTokenRequest{}), wire.RefusedCertificate)
	in.join(m, in.token(rest.JoinTokenRequest{}), wire.OutcomeSame)

	in.restart(func(c *registrar.Config) { c.EKCertificate = registrar.EKRecord })
	in.refuses(withCertificate{m, e.Certificates[0]}, in.token(rest.JoinTokenRequest{}), wire.RefusedEK)
	id = in.join(foreign, in.token(rest.JoinTokenRequest{}), wire.OutcomeNew).ID
	if got := in.machine(id); got.EKTrusted || got.EKCertificate != nil {
		t.Errorf("an EK of a foreign CA is trusted: %+v", got)
	}

	in.trust(1, foreign)
	in.restart(func(*registrar.Config) {})
	in.join(foreign, in.token(rest.JoinTokenRequest{}), wire.OutcomeSame)
	if got := in.machine(id); !got.EKTrusted || !bytes.Equal(got.EKCertificate, e.Certificates[0]) {
		t.Errorf("an EK whose CA was made an anchor is not trusted: %+v", got)
	}
}

func TestAgentRefusesRegistrar(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	for name, change := range map[string]func(*jointoken.Token){
		"another CA":          func(t *jointoken.Token) { t.CAPin[0] ^= 1 },
		"another server name": func(t *jointoken.Token) { t.Registrar.ServerName = "verifier.test" },
	} {
		token := in.token(rest.JoinTokenRequest{})
		change(&token)
		_, err := registration.Register(t.Context(), m, token, registration.Machine{})
		if e, ok := errors.AsType[*registration.Error](err); !ok || e.Why != "" || e.Hint == "" {
			t.Errorf("%s: %v, want an error of the agent's own with a hint", name, err)
		}
	}
	var list rest.MachineList
	in.call(rest.ListMachines, "", nil, &list, http.StatusOK)
	if len(list.Agents) != 0 {
		t.Errorf("%d machines, want none", len(list.Agents))
	}
}
