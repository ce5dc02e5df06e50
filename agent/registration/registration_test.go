package registration_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"quicklime/agent/registration"
	"quicklime/agent/swtpm"
	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
	"quicklime/wire/pki"
)

func newTPM(t *testing.T) *tpmdev.Device {
	t.Helper()
	dir := t.TempDir()
	if err := swtpm.Create(t.Context(), dir, []pcr.Bank{pcr.SHA256}); err != nil {
		t.Fatal(err)
	}
	p, err := swtpm.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	d, err := tpmdev.Open(p.Device())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// registrar is one that does what a test wants, and a token for it.
func registrar(t *testing.T, handle func(context.Context, *channel.Conn)) jointoken.Token {
	t.Helper()
	ca, err := pki.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server("registrar", []string{"registrar.test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := channel.Listen(channel.ListenConfig{
		Addr: "127.0.0.1:0", ALPN: wire.ALPNRegister, Exporter: wire.ExporterRegister, Certificate: server.TLSCertificate,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Serve(ctx, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return jointoken.Token{
		ID: "0123456789abcdef", CAPin: ca.Pin(),
		Registrar: jointoken.Server{Address: l.Addr().String(), ServerName: "registrar.test"},
		Verifier:  jointoken.Server{Address: "127.0.0.1:8892", ServerName: "verifier.test"},
	}
}

// answers makes a registrar that answers every message with the next of its own.
func answers(all ...wire.Message) func(context.Context, *channel.Conn) {
	return func(_ context.Context, c *channel.Conn) {
		for _, m := range all {
			if _, err := c.Receive(wire.FrameTimeout); err != nil {
				return
			}
			if err := c.Send(m); err != nil {
				return
			}
		}
	}
}

func TestRegisterRefusesAnswers(t *testing.T) {
	dev := newTPM(t)
	stranger := wire.Registered{ID: strings.Repeat("0", 64), Outcome: wire.OutcomeNew}
	for name, c := range map[string]struct {
		says []wire.Message
		want string // a part of the error
	}{
		"nothing":                    {nil, "closed"},
		"registered without a proof": {[]wire.Message{stranger}, "want a wire.Credential"},
		"a challenge of a session":   {[]wire.Message{wire.Challenge{Nonce: make([]byte, 32)}}, "want a wire.Credential"},
		"a credential for another":   {[]wire.Message{wire.Credential{Object: make([]byte, 68), Secret: make([]byte, 256)}}, "activate a credential"},
		"refused":                    {[]wire.Message{wire.Refused{Why: wire.RefusedToken}}, "the join token is unknown"},
	} {
		got, err := registration.Register(t.Context(), dev, registrar(t, answers(c.says...)), registration.Machine{Label: "web-1"})
		if err == nil || !strings.Contains(err.Error(), c.want) || got != (registration.Registered{}) {
			t.Errorf("%s: Register = %+v, %v, want %q", name, got, err, c.want)
		}
	}
}

// opener opens whatever it is given, as no TPM does.
type opener struct{ *tpmdev.Device }

func (opener) ActivateCredential(_, _ []byte) ([]byte, error) { return make([]byte, 32), nil }

func TestI11_RegisterAsAnother(t *testing.T) {
	credential := wire.Credential{Object: []byte{1}, Secret: []byte{1}}
	stranger := wire.Registered{ID: strings.Repeat("0", 64), Outcome: wire.OutcomeNew}
	_, err := registration.Register(t.Context(), opener{newTPM(t)}, registrar(t, answers(credential, stranger)), registration.Machine{})
	if err == nil || !strings.Contains(err.Error(), stranger.ID) {
		t.Errorf("registered as another machine: %v", err)
	}
}

func TestRegisterEndsWithItsContext(t *testing.T) {
	dev := newTPM(t)
	ctx, cancel := context.WithCancel(t.Context())
	silent := func(_ context.Context, c *channel.Conn) {
		if _, err := c.Receive(wire.FrameTimeout); err == nil {
			cancel()
			<-c.Context().Done()
		}
	}
	ended := make(chan error, 1)
	token := registrar(t, silent)
	go func() {
		_, err := registration.Register(ctx, dev, token, registration.Machine{})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while the registrar is silent: %v", err)
		}
	case <-time.After(wire.FrameTimeout / 2):
		t.Error("a cancelled registration goes on")
	}
}

func TestRegisterRefusesLabel(t *testing.T) {
	for _, label := range []string{"a\nb", strings.Repeat("a", wire.MaxLabel+1)} {
		_, err := registration.Register(t.Context(), nil, jointoken.Token{}, registration.Machine{Label: label})
		if e, ok := errors.AsType[*registration.Error](err); !ok || e.Hint == "" {
			t.Errorf("label %q: %v", label, err)
		}
	}
}

func TestRegisterUnreachable(t *testing.T) {
	dev := newTPM(t)
	token := registrar(t, answers())
	token.Registrar.Address = "registrar.invalid:8891"
	_, err := registration.Register(t.Context(), dev, token, registration.Machine{})
	if e, ok := errors.AsType[*registration.Error](err); !ok || e.Hint == "" || !strings.Contains(err.Error(), "registrar.invalid") {
		t.Errorf("no such host: %v", err)
	}
}
