package channel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
)

func TestRoundTrip(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	c := dialTest(t, a.dialConfig(t, addr))
	for _, m := range []wire.Message{challenge, proof} {
		if err := c.Send(m); err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive(0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Errorf("answer (-sent +got):\n%s", d)
		}
	}
}

func TestPeerAndExporter(t *testing.T) {
	a := newAuthority(t)
	type seen struct {
		peer     Peer
		exporter []byte
	}
	server := make(chan seen, 2)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		server <- seen{c.Peer(), c.Exporter()}
	})
	var exporters [][]byte
	for range 2 {
		cfg := a.dialConfig(t, addr)
		c := dialTest(t, cfg)
		if err := c.Send(challenge); err != nil {
			t.Fatal(err)
		}
		s := <-server
		leaf, err := x509.ParseCertificate(cfg.Certificate.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); s.peer.SPKI != want {
			t.Errorf("server saw key %x, want %x", s.peer.SPKI, want)
		}
		if !s.peer.Addr.Addr().Is4() || !s.peer.Addr.Addr().IsLoopback() {
			t.Errorf("server saw address %s", s.peer.Addr)
		}
		if !bytes.Equal(s.exporter, c.Exporter()) || len(s.exporter) != wire.ExporterSize {
			t.Errorf("exporters differ: %x, %x", s.exporter, c.Exporter())
		}
		exporters = append(exporters, s.exporter)
	}
	if bytes.Equal(exporters[0], exporters[1]) {
		t.Error("two connections have one exporter")
	}
	cfg := a.dialConfig(t, addr)
	cfg.Exporter = wire.ExporterRegister
	c := dialTest(t, cfg)
	c.Send(challenge)
	if s := <-server; bytes.Equal(s.exporter, c.Exporter()) {
		t.Error("two labels have one exporter")
	}
}

func TestSendIsWhole(t *testing.T) {
	const senders, each = 8, 20
	raw := bytes.Repeat([]byte{0xaa}, 5000)
	a := newAuthority(t)
	done := make(chan struct{})
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		defer close(done)
		for i := range senders * each {
			if _, err := c.Receive(0); err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
			if b, err := io.ReadAll(c.Raw(uint64(len(raw)), 0)); err != nil || !bytes.Equal(b, raw) {
				t.Errorf("raw bytes %d: %v", i, err)
				return
			}
		}
	})
	c := dialTest(t, a.dialConfig(t, addr))
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				if err := c.Send(challenge, raw); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	<-done
}

// A timeout before the first byte costs nothing.
func TestReceiveTimeout(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	c := dialTest(t, a.dialConfig(t, addr))
	if _, err := c.Receive(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nothing sent: %v", err)
	}
	if err := c.Send(challenge); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(0); err != nil {
		t.Error(err)
	}
}

// What is sent before the handler returns arrives, although the handler does
// not wait for it.
func TestLastMessageArrives(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		c.Receive(0)
		c.Send(proof)
	})
	for range 20 {
		c := dialTest(t, a.dialConfig(t, addr))
		if err := c.Send(challenge); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Receive(0); err != nil || cmp.Diff(proof, m) != "" {
			t.Fatalf("last message: %v, %v", m, err)
		}
		wantClosed(t, c, CloseError{Code: CodeDone, Remote: true})
		c.Close(CodeDone, "")
	}
}

func TestSendRefusesMalformed(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(wire.Proof{}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a proof without HMAC: %v", err)
	}
	if err := c.Send(proof); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// wantClosed expects that the next thing c hears is its end.
func wantClosed(t *testing.T, c *Conn, want CloseError) {
	t.Helper()
	_, err := c.Receive(5 * time.Second)
	closed, ok := errors.AsType[*CloseError](err)
	if !ok {
		t.Fatalf("connection ended with %v, want %v", err, &want)
	}
	if d := cmp.Diff(want, *closed); d != "" {
		t.Errorf("end of connection (-want +got):\n%s", d)
	}
}
