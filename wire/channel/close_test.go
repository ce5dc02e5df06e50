package channel

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

func TestCloseCodes(t *testing.T) {
	codes := []Code{CodeDone, CodeNotEnrolled, CodeDisplaced, CodeProtocol, CodeShutdown, CodeInternal, CodeBusy, 99}
	a := newAuthority(t)
	for _, code := range codes {
		t.Run("server: "+code.String(), func(t *testing.T) {
			addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) { c.Close(code, "why") })
			c := dialTest(t, a.dialConfig(t, addr))
			c.Send(challenge)
			wantClosed(t, c, CloseError{Code: code, Remote: true, Reason: "why"})
			if err := c.Send(challenge); err == nil {
				t.Error("sent on a closed connection")
			}
		})
		t.Run("client: "+code.String(), func(t *testing.T) {
			failed := make(chan error, 2)
			addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
				c.Receive(0)
				c.Send(challenge)
				_, err := c.Receive(0)
				failed <- err
			})
			c := dialTest(t, a.dialConfig(t, addr))
			c.Send(challenge)
			if _, err := c.Receive(0); err != nil {
				t.Fatal(err)
			}
			c.Close(code, "why")
			closed, ok := errors.AsType[*CloseError](<-failed)
			if want := (CloseError{Code: code, Remote: true, Reason: "why"}); !ok || *closed != want {
				t.Errorf("server saw %v, want %v", closed, &want)
			}
			wantClosed(t, c, CloseError{Code: code, Reason: "why"})
		})
	}
}

func TestReasonIsPrintable(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) { c.Close(CodeInternal, "\x1b[2J\n") })
	c := dialTest(t, a.dialConfig(t, addr))
	c.Send(challenge)
	wantClosed(t, c, CloseError{Code: CodeInternal, Remote: true})
}

func TestShutdown(t *testing.T) {
	a := newAuthority(t)
	var local error
	here, gone := make(chan struct{}), make(chan struct{})
	addr, stop := start(t, a.listenConfig(), func(ctx context.Context, c *Conn) {
		close(here)
		c.Receive(0)
		_, local = c.Receive(0)
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // longer than the rest of Serve takes
		close(gone)
	})
	c := dialTest(t, a.dialConfig(t, addr))
	c.Send(challenge)
	<-here
	stop()
	select {
	case <-gone:
	default:
		t.Error("Serve returned before its handler")
	}
	if closed, ok := errors.AsType[*CloseError](local); !ok || *closed != (CloseError{Code: CodeShutdown}) {
		t.Errorf("the handler saw %v", local)
	}
	wantClosed(t, c, CloseError{Code: CodeShutdown, Remote: true})
	again, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		t.Fatalf("the socket is still open: %v", err)
	}
	again.Close()
}

// A client learns at its next packet that the server was killed and started
// again, instead of when the connection times out.
func TestServerRestarted(t *testing.T) {
	a := newAuthority(t)
	killed, err := Listen(a.listenConfig())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		killed.Serve(context.Background(), echo)
	}()
	c := dialTest(t, a.dialConfig(t, killed.Addr()))
	c.Send(challenge)
	if _, err := c.Receive(0); err != nil {
		t.Fatal(err)
	}
	killed.udp.Close() // nothing can be said to anybody, as after SIGKILL
	<-served

	cfg := a.listenConfig()
	cfg.Addr = killed.Addr().String()
	start(t, cfg, echo)
	if err := c.Send(challenge); err != nil {
		t.Fatal(err)
	}
	_, err = c.Receive(10 * time.Second)
	if want := c.name + ": the server was started anew"; err == nil || err.Error()[:len(want)] != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// Serve ends with an error if the socket does, and waits for its handlers.
func TestServeWithoutSocket(t *testing.T) {
	a := newAuthority(t)
	l, err := Listen(a.listenConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Serve(t.Context(), echo); err == nil {
		t.Error("Serve ended well without a socket")
	}
}

func TestListenErrors(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	addr, _ := start(t, cfg, echo)
	cfg.Addr = addr.String()
	if l, err := Listen(cfg); err == nil {
		l.Close()
		t.Error("listened twice on one address")
	}
	cfg = a.listenConfig()
	noKey := errors.New("no key")
	cfg.Certificate = func() (*tls.Certificate, error) { return nil, noKey }
	if _, err := Listen(cfg); !errors.Is(err, noKey) {
		t.Errorf("without a certificate: %v", err)
	}
}
