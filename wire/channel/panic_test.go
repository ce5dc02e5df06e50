package channel

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"quicklime/wire/wiretest"
)

func wantStack(t *testing.T, log *wiretest.Log) {
	t.Helper()
	for _, part := range []string{"level=ERROR", "remote=127.0.0.1:", `panic="index 7"`, "panic_test.go"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log)
		}
	}
}

func TestI10_APanicEndsOneConnection(t *testing.T) {
	a := newAuthority(t)
	var log wiretest.Log
	cfg := a.listenConfig()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	addr, _ := start(t, cfg, func(ctx context.Context, c *Conn) {
		if m, err := c.Receive(0); err != nil || m.Type() == proof.Type() {
			panic("index 7")
		}
		c.Send(challenge)
		echo(ctx, c)
	})
	good, bad := dialTest(t, a.dialConfig(t, addr)), dialTest(t, a.dialConfig(t, addr))
	good.Send(challenge)
	bad.Send(proof)
	wantClosed(t, bad, CloseError{Code: CodeInternal, Remote: true})
	wantStack(t, &log)
	if _, err := good.Receive(0); err != nil {
		t.Errorf("another's connection: %v", err)
	}
}

func TestI10_APanicBesideTheHandlerEndsOneConnection(t *testing.T) {
	a := newAuthority(t)
	var log wiretest.Log
	cfg := a.listenConfig()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	addr, _ := start(t, cfg, func(ctx context.Context, c *Conn) {
		var beside sync.WaitGroup
		beside.Go(c.Contained(func() { panic("index 7") }))
		beside.Wait()
		echo(ctx, c)
	})
	c := dialTest(t, a.dialConfig(t, addr))
	c.Send(challenge)
	wantClosed(t, c, CloseError{Code: CodeInternal, Remote: true})
	wantStack(t, &log)
}

// Admit is asked in a goroutine that is not ours.
func TestI10_APanicInAdmitEndsOneHandshake(t *testing.T) {
	a := newAuthority(t)
	var log wiretest.Log
	cfg := a.listenConfig()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	var sound atomic.Bool
	cfg.Admit = func(Peer) (bool, error) {
		if !sound.Load() {
			panic("index 7")
		}
		return true, nil
	}
	addr, _ := start(t, cfg, echo)
	refused := dialTest(t, a.dialConfig(t, addr))
	refused.Send(challenge)
	if m, err := refused.Receive(0); err == nil {
		t.Errorf("a client that could not be judged was admitted, and heard %v", m)
	}
	wantStack(t, &log)
	sound.Store(true)
	c := dialTest(t, a.dialConfig(t, addr))
	c.Send(challenge)
	if _, err := c.Receive(0); err != nil {
		t.Errorf("the next client: %v", err)
	}
}
