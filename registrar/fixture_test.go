package registrar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicklime/agent/registration"
	"quicklime/agent/swtpm"
	"quicklime/registrar"
	"quicklime/wire"
	"quicklime/wire/jointoken"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/wiretest"
)

// installation is a registrar that runs, and its operator.
type installation struct {
	t      *testing.T
	cfg    registrar.Config
	at     registrar.Addresses
	log    *wiretest.Log
	client *http.Client
	stop   func()
}

// newInstallation starts a registrar that trusts the CAs of the given machines'
// TPMs.
func newInstallation(t *testing.T, trusted ...*machine) *installation {
	t.Helper()
	dir := t.TempDir()
	in := &installation{t: t, cfg: registrar.DefaultConfig()}
	in.cfg.Listen = "127.0.0.1:0"
	in.cfg.StateDir, in.cfg.PKIDir, in.cfg.EKAnchors = filepath.Join(dir, "state"), filepath.Join(dir, "state", "pki"), filepath.Join(dir, "anchors")
	in.cfg.ServerNames = []string{"registrar.test", "127.0.0.1"}
	if err := os.Mkdir(in.cfg.EKAnchors, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, m := range trusted {
		in.trust(i, m)
	}
	in.start()
	return in
}

func (in *installation) trust(i int, m *machine) {
	in.t.Helper()
	for j, file := range swtpm.Anchors(m.tpm.Dir()) {
		b, err := os.ReadFile(file)
		if err != nil {
			in.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(in.cfg.EKAnchors, fmt.Sprintf("%d-%d.pem", i, j)), b, 0o600); err != nil {
			in.t.Fatal(err)
		}
	}
}

// start runs the registrar until the test ends or stop is called.
func (in *installation) start() {
	in.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan registrar.Addresses, 1)
	ended := make(chan error, 1)
	in.log = new(wiretest.Log)
	in.cfg.Log = slog.New(slog.NewJSONHandler(in.log, nil))
	in.cfg.OnReady = func(a registrar.Addresses) { ready <- a }
	go func() { ended <- registrar.Run(ctx, in.cfg) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			in.t.Errorf("Run: %v", err)
		}
	})
	in.t.Cleanup(in.stop)
	select {
	case in.at = <-ready:
	case err := <-ended:
		in.t.Fatalf("Run: %v", err)
	}
	in.client = in.operator("tenant")
}

// restart stops the registrar, changes its configuration and starts it again.
func (in *installation) restart(change func(*registrar.Config)) {
	in.t.Helper()
	in.stop()
	change(&in.cfg)
	in.start()
}

func (in *installation) operator(name string) *http.Client {
	in.t.Helper()
	file := func(name string) string { return filepath.Join(in.cfg.PKIDir, name) }
	config, err := pki.ClientTLS(file("ca.crt"), file(name+".crt"), file(name+".key"))
	if err != nil {
		in.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config}
	in.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// call calls the API and wants a status; into takes the answer if it is not nil.
func (in *installation) call(route rest.Route, id string, body, into any, want int) {
	in.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		in.t.Fatal(err)
	}
	url := "https://" + in.at.REST.String() + strings.ReplaceAll(route.Pattern, "{id}", id)
	req, err := http.NewRequestWithContext(in.t.Context(), route.Method, url, bytes.NewReader(b))
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := in.client.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		in.t.Fatalf("%s %s: status %s, want %d", route.Method, url, res.Status, want)
	}
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			in.t.Fatal(err)
		}
	}
}

// token makes a join token, as the tenant does.
func (in *installation) token(ask rest.JoinTokenRequest) jointoken.Token {
	in.t.Helper()
	var secret rest.JoinTokenSecret
	in.call(rest.CreateJoinToken, "", ask, &secret, http.StatusCreated)
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		in.t.Fatal(err)
	}
	t := jointoken.Token{
		ID: secret.ID, Expires: secret.ExpiresAt, CAPin: ca.Pin(),
		Registrar: jointoken.Server{Address: in.at.Registration.String(), ServerName: "registrar.test"},
		Verifier:  jointoken.Server{Address: "127.0.0.1:8892", ServerName: "verifier.test"},
	}
	copy(t.Secret[:], secret.Secret)
	text, err := t.Format()
	if err != nil {
		in.t.Fatal(err)
	}
	if t, err = jointoken.Parse(text); err != nil {
		in.t.Fatal(err)
	}
	return t
}

func (in *installation) machine(id string) (m rest.Machine) {
	in.t.Helper()
	in.call(rest.GetMachine, id, nil, &m, http.StatusOK)
	return m
}

// join registers and wants an outcome.
func (in *installation) join(dev registration.TPM, t jointoken.Token, want wire.Outcome) jointoken.Membership {
	in.t.Helper()
	got, err := registration.Register(in.t.Context(), dev, t, registration.Machine{Label: "web-1", Software: "test"})
	if err != nil || got.Outcome != want {
		in.t.Fatalf("Register = %q, %v, want %q; the registrar says:\n%s", got.Outcome, err, want, in.log)
	}
	return got.Membership
}

// refuses wants a registration to be refused for a reason.
func (in *installation) refuses(dev registration.TPM, t jointoken.Token, want wire.Refusal) {
	in.t.Helper()
	got, err := registration.Register(in.t.Context(), dev, t, registration.Machine{Label: "web-1", Software: "test"})
	if e, ok := errors.AsType[*registration.Error](err); !ok || e.Why != want || e.Hint == "" {
		in.t.Fatalf("Register = %q, %v, want it refused for %q; the registrar says:\n%s", got.Outcome, err, want, in.log)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
