package attack_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"quicklime/registrar"
	"quicklime/tenant/client"
	"quicklime/verifier"
	"quicklime/verifier/severity"
	"quicklime/wire/conf"
	"quicklime/wire/jointoken"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// timing is the verifier's [challenge].
type timing = verifier.Challenge

var (
	// patient challenges nobody while a test runs.
	patient = timing{Interval: minutes(60), Answer: minutes(10), Margin: minutes(1)}
	// brisk has a T that a test can wait for.
	brisk = timing{Interval: conf.Duration(time.Second), Answer: conf.Duration(5 * time.Second), Margin: conf.Duration(time.Second)}
)

func minutes(n int) conf.Duration { return conf.Duration(time.Duration(n) * time.Minute) }

// trustOf is T.
func trustOf(c timing) time.Duration { return time.Duration(c.Interval + c.Answer + c.Margin) }

// site is an installation: registrar, verifier, and its operator.
type site struct {
	dir        string
	timing     timing
	pin        [32]byte
	severities []severity.Rule
	joining    string // address at which agents register
	attesting  jointoken.Server
	registrar  *client.Registrar
	verifier   *client.Verifier
}

const host = "127.0.0.1"

func newSite(t *testing.T, c timing, severities ...severity.Rule) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), timing: c, severities: severities}
	s.startRegistrar(t)
	s.attesting, s.verifier = s.startVerifier(t)
	ca, err := pki.Open(s.file("pki"))
	if err != nil {
		t.Fatal(err)
	}
	s.pin = ca.Pin()
	return s
}

func (s *site) file(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

func (s *site) startRegistrar(t *testing.T) {
	t.Helper()
	cfg := registrar.DefaultConfig()
	cfg.Listen, cfg.ServerNames = host+":0", []string{host}
	cfg.StateDir, cfg.PKIDir, cfg.EKAnchors = s.file("state"), s.file("pki"), s.file("anchors")
	cfg.EKCertificate, cfg.Log = registrar.EKRecord, slog.New(slog.DiscardHandler)
	ready := make(chan registrar.Addresses, 1)
	cfg.OnReady = func(a registrar.Addresses) { ready <- a }
	at := start(t, ready, func(ctx context.Context) error { return registrar.Run(ctx, cfg) })
	s.joining = at.Registration.String()
	var err error
	if s.registrar, err = client.NewRegistrar("https://"+at.REST.String(), s.operator(t)); err != nil {
		t.Fatal(err)
	}
}

// startVerifier starts a verifier on the site's database, beside those that run.
func (s *site) startVerifier(t *testing.T) (jointoken.Server, *client.Verifier) {
	t.Helper()
	cfg := verifier.DefaultConfig()
	cfg.Listen, cfg.ServerNames, cfg.StateDir, cfg.PKIDir = host+":0", []string{host}, s.file("state"), s.file("pki")
	cfg.Challenge, cfg.SeverityPolicy, cfg.Log = s.timing, s.severities, slog.New(slog.DiscardHandler)
	ready := make(chan string, 1)
	cfg.OnReady = func(a string) { ready <- a }
	at := start(t, ready, func(ctx context.Context) error { return verifier.Run(ctx, cfg) })
	v, err := client.NewVerifier("https://"+at, s.operator(t))
	if err != nil {
		t.Fatal(err)
	}
	return jointoken.Server{Address: at, ServerName: host}, v
}

// start runs a daemon until the test ends, and returns what it says when it is
// ready.
func start[A any](t *testing.T, ready <-chan A, run func(context.Context) error) (at A) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	select {
	case at = <-ready:
	case err := <-ended:
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return at
}

// token makes a join token.
func (s *site) token(t *testing.T) jointoken.Token {
	t.Helper()
	secret, err := s.registrar.CreateJoinToken(t.Context(), rest.JoinTokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	token := jointoken.Token{
		ID: secret.ID, Expires: secret.ExpiresAt, CAPin: s.pin,
		Registrar: jointoken.Server{Address: s.joining, ServerName: host}, Verifier: s.attesting,
	}
	copy(token.Secret[:], secret.Secret)
	return token
}

// operator is the client certificate that the daemons made.
func (s *site) operator(t *testing.T) *tls.Config {
	t.Helper()
	c, err := pki.ClientTLS(s.file("pki", "ca.crt"), s.file("pki", "tenant.crt"), s.file("pki", "tenant.key"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
