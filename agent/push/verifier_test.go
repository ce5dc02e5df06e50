package push

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"quicklime/agent/imalog"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pki"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
	"quicklime/wire/wiretest"
)

const (
	serverName = "verifier.test"
	silence    = 300 * time.Millisecond // nothing for so long means nothing comes
)

var patience = wiretest.Patience // longer means never

// verifier is a listener whose sessions a test speaks for.
type verifier struct {
	t     testing.TB
	dial  channel.DialConfig
	ak    tpm.Public
	id    string
	conns chan *channel.Conn
}

func newVerifier(t testing.TB, ak tpm.Public) *verifier {
	t.Helper()
	ca, err := pki.Open(t.TempDir() + "/pki")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server("verifier", []string{serverName})
	if err != nil {
		t.Fatal(err)
	}
	l, err := channel.Listen(channel.ListenConfig{
		Addr: "127.0.0.1:0", ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest, Certificate: server.TLSCertificate,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := &verifier{t: t, ak: ak, id: softtpm.New(t).Public.AgentID(), conns: make(chan *channel.Conn)}
	v.dial = channel.DialConfig{
		Addr: l.Addr().String(), ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest,
		ServerName: serverName, CAPin: ca.Pin(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- l.Serve(ctx, func(ctx context.Context, c *channel.Conn) {
			select {
			case v.conns <- c:
				<-c.Context().Done()
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return v
}

// agent runs Run with the machine until the test ends. ended gets its error.
func (v *verifier) agent(cfg Config, list string) (ended <-chan error, stop func()) {
	v.t.Helper()
	cfg.Verifier.Addr, cfg.Verifier.ALPN, cfg.Verifier.Exporter = v.dial.Addr, v.dial.ALPN, v.dial.Exporter
	cfg.Verifier.ServerName, cfg.Verifier.CAPin = v.dial.ServerName, v.dial.CAPin
	cfg.AgentID, cfg.AK, cfg.Software = v.id, v.ak, "test"
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.List, err = imalog.New(list); err != nil {
		v.t.Fatal(err)
	}
	w, err := imalog.NewWatcher(list, imalog.WatchConfig{Bounds: imalog.DefaultBounds})
	if err != nil {
		v.t.Fatal(err)
	}
	cfg.Grew = w.Grew()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	done := make(chan error, 1)
	running.Go(func() { done <- Run(ctx, cfg) })
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			v.t.Error(err)
		}
	})
	v.t.Cleanup(func() {
		cancel()
		running.Wait()
		cfg.List.Close()
	})
	return done, cancel
}
