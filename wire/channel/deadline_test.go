package channel

import (
	"context"
	"testing"
	"time"
)

// A client that sends nothing at all, not even signs of life, is let go.
func TestI08_IdlePeersAreLetGo(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	cfg.timing = impatient
	cfg.timing.idle = 500 * time.Millisecond
	ended := make(chan error, 1)
	addr, _ := start(t, cfg, func(_ context.Context, c *Conn) {
		<-c.Context().Done()
		ended <- nil
	})
	dial := a.dialConfig(t, addr)
	q := dialQUIC(t, addr, dial.tlsConfig())
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{quic: q, stream: s, timing: usual}
	if err := c.Send(challenge); err != nil {
		t.Fatal(err)
	}
	if err := soon(ended); err != nil {
		t.Error(err)
	}
}

// A handshake that is begun and not gone on with gives its place back.
func TestI08_HandshakesEnd(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	cfg.timing = impatient
	cfg.timing.handshake = 200 * time.Millisecond
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		firstAnswer(t, a, l.Addr())
		for hang := time.Now().Add(10 * time.Second); l.gate.underWay() > 0; {
			if time.Now().After(hang) {
				t.Error("it takes its place for ever")
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := l.Serve(ctx, echo); err != nil {
		t.Error(err)
	}
}

// underWay is how many handshakes there are.
func (g *gate) underWay() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handshakes.n
}
