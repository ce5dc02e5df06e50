package channel

import (
	"context"
	"io"
	"testing"

	"quicklime/wire"
)

// A handshake with software keys on both ends: the server's share and the
// client's together.
func BenchmarkHandshake(b *testing.B) {
	a := newAuthority(b)
	addr, _ := start(b, a.listenConfig(), echo)
	cfg := a.dialConfig(b, addr)
	for b.Loop() {
		c, err := Dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		c.Close(CodeDone, "")
	}
}

// The everyday evidence: 2 KiB there, a verdict of some 200 bytes back.
func BenchmarkRoundTrip(b *testing.B) {
	evidence := wire.Evidence{Envelope: make([]byte, 1<<10), IMA: wire.Span{Count: 10, Bytes: 1 << 10}}
	verdict := wire.Verdict{
		Trust: wire.Untrusted, Nonce: make([]byte, wire.NonceSize), Reason: wire.IMANotInPolicy,
		Resume: wire.Resume{Epoch: make([]byte, 32), Entries: 4711},
	}
	a := newAuthority(b)
	addr, _ := start(b, a.listenConfig(), func(_ context.Context, c *Conn) {
		for {
			if _, err := c.Receive(0); err != nil {
				return
			}
			io.Copy(io.Discard, c.Raw(evidence.IMA.Bytes, 0))
			if c.Send(verdict) != nil {
				return
			}
		}
	})
	c := dialTest(b, a.dialConfig(b, addr))
	list := make([]byte, evidence.IMA.Bytes)
	for b.Loop() {
		if err := c.Send(evidence, list); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Receive(0); err != nil {
			b.Fatal(err)
		}
	}
}

// A full list.
func BenchmarkRaw(b *testing.B) {
	list := make([]byte, 16<<20)
	a := newAuthority(b)
	addr, _ := start(b, a.listenConfig(), func(_ context.Context, c *Conn) {
		buf := make([]byte, 64<<10)
		for {
			m, err := c.Receive(0)
			if err != nil {
				return
			}
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, c.Raw(uint64(len(list)), 0), buf)
			if c.Send(m) != nil {
				return
			}
		}
	})
	c := dialTest(b, a.dialConfig(b, addr))
	b.SetBytes(int64(len(list)))
	for b.Loop() {
		if err := c.Send(challenge, list); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Receive(0); err != nil {
			b.Fatal(err)
		}
	}
}
