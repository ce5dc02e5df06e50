package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"quicklime/verifier/policycache"
	"quicklime/verifier/revocation"
	"quicklime/verifier/session"
	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// verifier is a session server on loopback with its store on disk.
type verifier struct {
	t      testing.TB
	store  *store.Store
	server *session.Server
	addr   string
	pin    [32]byte
	db     string // file of the store

	ca         *pki.Authority
	revocation *ecdsa.PrivateKey
}

func newVerifier(t testing.TB, timing session.Timing) *verifier {
	t.Helper()
	return newLoggingVerifier(t, timing, slog.DiscardHandler)
}

func newLoggingVerifier(t testing.TB, timing session.Timing, log slog.Handler) *verifier {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKeyedVerifier(t, timing, log, revocation.Keys{Notice: private})
}

func newKeyedVerifier(t testing.TB, timing session.Timing, log slog.Handler, keys revocation.Keys) *verifier {
	t.Helper()
	dir := t.TempDir()
	s := storetest.Open(t, filepath.Join(dir, "verifier.db"), store.Routing{Notices: wire.EventKinds})
	policies, err := policycache.Open(filepath.Join(dir, "policies"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Open(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server("verifier", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	feed := revocation.NewFeed(s, keys, slog.New(log))
	v := &verifier{t: t, store: s, ca: ca, revocation: keys.Notice, server: session.New(s, policies, timing, feed, slog.New(log)), pin: ca.Pin(), db: filepath.Join(dir, "verifier.db")}
	l, err := channel.Listen(channel.ListenConfig{Addr: "127.0.0.1:0", ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest,
		Certificate: func() (*tls.Certificate, error) { return cert.TLSCertificate() }, Admit: v.server.Admit, MaxStrangers: session.MaxStrangers})
	if err != nil {
		t.Fatal(err)
	}
	v.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served, judged, fed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { fed <- feed.Run(ctx) }()
	go func() { judged <- v.server.RunJudge(ctx) }()
	go func() { served <- l.Serve(ctx, v.server.Handle) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-served, <-judged, <-fed); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *verifier) status() rest.Agent {
	v.t.Helper()
	a, err := v.store.Agent(v.t.Context(), verifiertest.AgentID)
	if err != nil {
		v.t.Fatal(err)
	}
	return a
}

// until waits until the agent's trust is as wanted.
func (v *verifier) until(want wire.Trust) {
	v.t.Helper()
	timeout := time.After(patience)
	for {
		changed, leave := v.store.Changed(verifiertest.AgentID)
		got := v.status()
		if got.Trust == want {
			leave()
			return
		}
		select {
		case <-changed:
		case <-timeout:
			v.t.Fatalf("%s (%s), want %s", got.Trust, got.Reason, want)
		}
		leave()
	}
}
