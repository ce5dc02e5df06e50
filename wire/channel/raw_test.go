package channel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
)

func TestRaw(t *testing.T) {
	list, log := make([]byte, 3<<20), []byte("boot log")
	rand.Read(list)
	a := newAuthority(t)
	got := make(chan []byte, 2)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		if _, err := c.Receive(0); err != nil {
			t.Error(err)
		}
		for _, n := range []int{len(list), len(log)} {
			b, err := io.ReadAll(c.Raw(uint64(n), 0))
			if err != nil {
				t.Error(err)
			}
			got <- b
		}
		if m, err := c.Receive(0); err != nil || cmp.Diff(proof, m) != "" {
			t.Errorf("after the raw bytes: %v, %v", m, err)
		}
		if n, err := c.Raw(0, 0).Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("no raw bytes: read %d, %v", n, err)
		}
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, list, log); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(proof); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{list, log} {
		if b := <-got; !bytes.Equal(b, want) {
			t.Errorf("%d raw bytes differ from the %d sent", len(b), len(want))
		}
	}
	c.Receive(0) // the server is done: it has seen all
}

// A reader that does not take all raw bytes must not take the rest for messages.
func TestRawUnread(t *testing.T) {
	inside, err := wire.AppendFrame([]byte("123"), proof)
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	failed := make(chan error, 1)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		c.Receive(0)
		io.ReadFull(c.Raw(uint64(len(inside)), 0), make([]byte, 3))
		_, err := c.Receive(0)
		failed <- err
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, inside); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("a message was read from the middle of raw bytes")
	}
}

func TestRawShort(t *testing.T) {
	a := newAuthority(t)
	failed := make(chan error, 1)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		c.Receive(0)
		_, err := io.ReadAll(c.Raw(10, 0))
		failed <- err
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, []byte("12345")); err != nil {
		t.Fatal(err)
	}
	c.stream.Close()
	if err := <-failed; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("5 of 10 raw bytes: %v", err)
	}
}

// Raw bytes beyond those announced are taken for a message, and are none.
func TestRawLong(t *testing.T) {
	a := newAuthority(t)
	failed := make(chan error, 1)
	addr, _ := start(t, a.listenConfig(), func(_ context.Context, c *Conn) {
		c.Receive(0)
		if b, err := io.ReadAll(c.Raw(5, 0)); err != nil || string(b) != "12345" {
			t.Errorf("raw bytes %q, %v", b, err)
		}
		_, err := c.Receive(0)
		failed <- err
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, []byte("12345"), make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("after the raw bytes: %v", err)
	}
	wantClosed(t, c, CloseError{Code: CodeProtocol, Remote: true, Reason: "malformed"})
}

func TestI08_RawTooSlow(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	cfg.timing = impatient
	failed := make(chan error, 1)
	addr, _ := start(t, cfg, func(_ context.Context, c *Conn) {
		c.Receive(0)
		_, err := io.ReadAll(c.Raw(10, 50*time.Millisecond))
		failed <- err
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if err := soon(failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("raw bytes that never come: %v", err)
	}
	wantClosed(t, c, CloseError{Code: CodeProtocol, Remote: true, Reason: "too slow"})
}

// Raw bytes may take longer than a message.
func TestRawHasItsOwnTime(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	cfg.timing = impatient
	cfg.timing.raw = 10 * time.Second
	failed := make(chan error, 1)
	addr, _ := start(t, cfg, func(_ context.Context, c *Conn) {
		c.Receive(0)
		_, err := io.ReadAll(c.Raw(10, 0))
		failed <- err
	})
	c := dialTest(t, a.dialConfig(t, addr))
	if err := c.Send(challenge, []byte("12345")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * impatient.frame)
	if _, err := c.stream.Write([]byte("67890")); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}
