package channel

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
)

// dialQUIC connects without this package's client, for what it would not do.
func dialQUIC(t *testing.T, addr net.Addr, conf *tls.Config) *quic.Conn {
	t.Helper()
	q, err := quic.DialAddr(t.Context(), addr.String(), conf, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQUIC(q, CodeDone) })
	return q
}

// A connection has one stream, ever.
func TestI08_OneStream(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	cfg := a.dialConfig(t, addr)
	q := dialQUIC(t, addr, cfg.tlsConfig())
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{quic: q, stream: s, timing: usual}
	for range 2 {
		if err := c.Send(challenge); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(0); err != nil {
			t.Fatal(err)
		}
		if _, err := q.OpenStream(); !errors.Is(err, &quic.StreamLimitReachedError{}) {
			t.Errorf("second stream: %v", err)
		}
		if _, err := q.OpenUniStream(); !errors.Is(err, &quic.StreamLimitReachedError{}) {
			t.Errorf("unidirectional stream: %v", err)
		}
		if err := q.SendDatagram([]byte{1}); err == nil {
			t.Error("sent a datagram")
		}
	}
}

// Not even after the first stream has ended on both sides.
func TestI08_OneStreamEver(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), func(ctx context.Context, c *Conn) {
		c.Receive(0)
		c.stream.Close()
		<-ctx.Done()
	})
	c := dialTest(t, a.dialConfig(t, addr))
	c.Send(challenge)
	c.stream.Close()
	wantClosed(t, c, CloseError{Code: CodeDone, Remote: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.quic.OpenStreamSync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second stream after the first has ended: %v", err)
	}
}

func TestI08_StreamInTime(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	cfg.timing = impatient
	addr, _ := start(t, cfg, func(context.Context, *Conn) { t.Error("handler called") })
	c := dialTest(t, a.dialConfig(t, addr))
	wantClosed(t, c, CloseError{Code: CodeProtocol, Remote: true})
}

func TestI08_FrameInTime(t *testing.T) {
	a := newAuthority(t)
	frame, err := wire.AppendFrame(nil, challenge)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 5, len(frame) - 1} {
		cfg := a.listenConfig()
		cfg.timing = impatient
		failed := make(chan error, 1)
		addr, _ := start(t, cfg, func(_ context.Context, c *Conn) {
			_, err := c.Receive(0)
			failed <- err
		})
		c := dialTest(t, a.dialConfig(t, addr))
		if _, err := c.stream.Write(frame[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := soon(failed); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("frame cut after %d bytes: %v", cut, err)
		}
		wantClosed(t, c, CloseError{Code: CodeProtocol, Remote: true, Reason: "too slow"})
	}
}

// soon is the error that comes, or another one where nothing does.
func soon(failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("it waits and waits")
	}
}

// A peer that takes nothing cannot hold a sender for ever.
func TestI08_SendInTime(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), func(ctx context.Context, c *Conn) { <-c.Context().Done() })
	cfg := a.dialConfig(t, addr)
	cfg.timing = impatient
	c := dialTest(t, cfg)
	failed := make(chan error, 1)
	go func() { failed <- c.Send(challenge, make([]byte, 4*fullWindow)) }()
	if err := soon(failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sending to one who does not read: %v", err)
	}
	wantClosed(t, c, CloseError{Code: CodeProtocol, Reason: "too slow"})
}

func TestMalformedFrames(t *testing.T) {
	a := newAuthority(t)
	tests := map[string]struct {
		bytes []byte
		want  error
	}{
		"too long":     {[]byte{byte(wire.TypeChallenge), 0, 0, 0x80, 1}, wire.ErrMalformed},
		"very long":    {[]byte{byte(wire.TypeChallenge), 0xff, 0xff, 0xff, 0xff}, wire.ErrMalformed},
		"unknown type": {[]byte{0x7f, 0, 0, 0, 1, 0xa0}, wire.ErrMalformed},
		"no CBOR":      {[]byte{byte(wire.TypeChallenge), 0, 0, 0, 1, 0xff}, wire.ErrMalformed},
		"cut":          {[]byte{byte(wire.TypeChallenge), 0, 0}, io.ErrUnexpectedEOF},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error, 1)
			addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
				_, err := c.Receive(0)
				failed <- err
			})
			c := dialTest(t, a.dialConfig(t, addr))
			c.stream.Write(tt.bytes)
			c.stream.Close()
			if err := <-failed; !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			wantClosed(t, c, CloseError{Code: CodeProtocol, Remote: true, Reason: "malformed"})
		})
	}
}

// talk dials and waits for one answer.
func talk(t *testing.T, cfg DialConfig) (*Conn, error) {
	t.Helper()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close(CodeDone, "") })
	if err := c.Send(challenge); err != nil {
		return c, err
	}
	_, err = c.Receive(0)
	return c, err
}

func TestI08_MaxPeers(t *testing.T) {
	for name, limit := range map[string]func(*ListenConfig){
		"of all":        func(c *ListenConfig) { c.MaxPeers = 2 },
		"of one origin": func(c *ListenConfig) { c.MaxPeersPerOrigin = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			cfg := a.listenConfig()
			limit(&cfg)
			addr, _ := start(t, cfg, echo)
			var last *Conn
			for range 2 {
				c, err := talk(t, a.dialConfig(t, addr))
				if err != nil {
					t.Fatal(err)
				}
				last = c
			}
			_, err := talk(t, a.dialConfig(t, addr))
			if closed, ok := errors.AsType[*CloseError](err); !ok || closed.Code != CodeBusy || !closed.Remote {
				t.Errorf("one too many: %v, want %s by the peer", err, CodeBusy)
			}
			last.Close(CodeDone, "")
			for err = errFull; err != nil; { // until the server has noticed
				if t.Context().Err() != nil {
					t.Fatal(err)
				}
				_, err = talk(t, a.dialConfig(t, addr))
			}
		})
	}
}

// A client that must prove its address connects all the same.
func TestI08_Retry(t *testing.T) {
	a := newAuthority(t)
	l, err := Listen(a.listenConfig())
	if err != nil {
		t.Fatal(err)
	}
	for range maxHandshakesFrom / retryShare {
		if _, err := l.gate.enter(origin(l.Addr())); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	go func() {
		defer cancel()
		if kind := firstAnswer(t, a, l.Addr()); kind != 3 {
			t.Errorf("the server answered with a packet of type %d, want 3: Retry", kind)
		}
		c, err := Dial(ctx, a.dialConfig(t, l.Addr()))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close(CodeDone, "")
		c.Send(challenge)
		if _, err := c.Receive(0); err != nil {
			t.Error(err)
		}
	}()
	if err := l.Serve(ctx, echo); err != nil {
		t.Error(err)
	}
}

// firstAnswer is the type of the long-header packet (RFC 9000, section 17.2)
// that a server answers a client's first packet with.
func firstAnswer(t *testing.T, a authority, server net.Addr) byte {
	relay, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer relay.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go Dial(ctx, a.dialConfig(t, relay.LocalAddr()))
	relay.SetDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 2000)
	n, _, err := relay.ReadFrom(buf)
	if err == nil {
		_, err = relay.WriteTo(buf[:n], server)
	}
	for err == nil {
		var from net.Addr
		if _, from, err = relay.ReadFrom(buf); err == nil && from.String() == server.String() {
			return buf[0] >> 4 & 3
		}
	}
	t.Error(err)
	return 0
}
