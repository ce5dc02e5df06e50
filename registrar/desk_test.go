package registrar

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/registrar/credentialtest"
	"quicklime/registrar/ekcert"
	"quicklime/registrar/store"
	"quicklime/wire"
	"quicklime/wire/channel"
)

// script is an agent that says what it was told to, whatever it hears.
type script struct {
	machine *credentialtest.Machine
	spki    [32]byte
	says    []wire.Message
	heard   []wire.Message
	closed  []channel.Code
}

func (s *script) Peer() channel.Peer                { return channel.Peer{SPKI: s.spki} }
func (s *script) Exporter() []byte                  { return s.machine.Exporter }
func (s *script) Close(code channel.Code, _ string) { s.closed = append(s.closed, code) }

func (s *script) Send(m wire.Message, _ ...[]byte) error {
	s.heard = append(s.heard, m)
	return nil
}

var errSilent = errors.New("nothing came")

func (s *script) Receive(timeout time.Duration) (wire.Message, error) {
	if timeout == 0 || len(s.says) == 0 {
		return nil, errSilent
	}
	m := s.says[0]
	s.says = s.says[1:]
	return m, nil
}

func testDesk(t *testing.T, log io.Writer) *desk {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "registrar.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return newDesk(s, ekcert.Anchors{}, EKVerify, slog.New(slog.NewTextHandler(log, nil)))
}

func TestI09_WhoFailsHearsOneWord(t *testing.T) {
	var log bytes.Buffer
	d := testDesk(t, &log)
	m := credentialtest.New(t)
	token, err := d.store.CreateToken(t.Context(), "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	register := m.Register(t, m.Certify())
	register.TokenID, register.TokenSecret = token.ID, token.Secret
	with := func(change func(*wire.Register)) wire.Register {
		r := register
		change(&r)
		return r
	}
	noProof := wire.Proof{HMAC: make([]byte, 32)}
	for name, c := range map[string]struct {
		says   []wire.Message
		want   wire.Refusal   // empty: it hears none
		closed []channel.Code // with what the connection is closed at once
	}{
		"says nothing":           {nil, "", []channel.Code{channel.CodeProtocol}},
		"says hello":             {[]wire.Message{wire.Hello{}}, "", []channel.Code{channel.CodeProtocol}},
		"proves first":           {[]wire.Message{noProof, register}, "", []channel.Code{channel.CodeProtocol}},
		"another EK":             {[]wire.Message{with(func(r *wire.Register) { r.EKPublic = r.AKPublic })}, wire.RefusedEK, nil},
		"another AK":             {[]wire.Message{with(func(r *wire.Register) { r.AKPublic = r.Transport })}, wire.RefusedKeys, nil},
		"not a certificate":      {[]wire.Message{with(func(r *wire.Register) { r.EKCertificates = [][]byte{{1}} })}, wire.RefusedEK, nil},
		"guesses the proof":      {[]wire.Message{register, noProof}, wire.RefusedProof, nil},
		"guesses twice":          {[]wire.Message{register, noProof, noProof}, wire.RefusedProof, nil},
		"leaves before it":       {[]wire.Message{register}, "", []channel.Code{channel.CodeProtocol}},
		"registers twice":        {[]wire.Message{register, register}, "", []channel.Code{channel.CodeProtocol}},
		"says that it is proven": {[]wire.Message{register, wire.Registered{}}, "", []channel.Code{channel.CodeProtocol}},
	} {
		s := &script{machine: m, spki: m.SPKI(t), says: c.says}
		d.serve(t.Context(), s)
		if got := refusals(s.heard); len(got) != min(len(c.want), 1) || len(got) == 1 && got[0] != c.want {
			t.Errorf("%s: it hears the refusals %q, want %q", name, got, c.want)
		}
		if len(s.closed) != len(c.closed) || len(s.closed) == 1 && s.closed[0] != c.closed[0] {
			t.Errorf("%s: closed with %v, want %v", name, s.closed, c.closed)
		}
	}
	machines, err := d.store.Machines(t.Context())
	if err != nil || len(machines.Rows)+len(machines.Unreadable) > 0 {
		t.Errorf("something was stored before a proof: %+v, %v", machines, err)
	}
	tokens, err := d.store.Tokens(t.Context())
	if err != nil || tokens.Rows[0].UsedBy != "" {
		t.Errorf("a failed try used the token up: %+v, %v", tokens, err)
	}
	if s := log.String(); !strings.Contains(s, "token="+token.ID) || strings.Contains(s, string(token.Secret)) || !strings.Contains(s, "why=proof") {
		t.Errorf("the log must say who was refused and why, without the secret:\n%s", s)
	}
}

// refusals returns the reasons in what was heard. Beside them an agent that has
// not proven itself may hear credentials and no more.
func refusals(heard []wire.Message) (why []wire.Refusal) {
	for _, m := range heard {
		switch m := m.(type) {
		case wire.Refused:
			why = append(why, m.Why)
		case wire.Credential:
		default:
			why = append(why, "something else")
		}
	}
	return why
}

func TestUnavailableStore(t *testing.T) {
	var log bytes.Buffer
	d := testDesk(t, &log)
	m := credentialtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.store.Register(ctx, store.Registration{Keys: m.Prove(t)})
	if r, ok := errors.AsType[refused](refusal(err)); !ok || r.why != wire.RefusedInternal {
		t.Errorf("when the store does not answer the agent hears %v of %v, want %q", r.why, err, wire.RefusedInternal)
	}
}
