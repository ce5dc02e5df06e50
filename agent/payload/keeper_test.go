package payload

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/agent/keep"
	"quicklime/wire"
	"quicklime/wire/payload"
)

func TestFile(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("hunter2\n"))
	o := f.deliver(s)
	if o.State != payload.Stored || o.Files != 1 || !o.Time().Equal(now) || o.Name != "db" || o.Version != 1 {
		t.Errorf("%+v", o)
	}
	f.holds("db/password", "hunter2\n")
	f.clean()
	for path, want := range map[string]os.FileMode{"": 0o700, "db": 0o700, "db/password": 0o600, ".held/db.json": 0o600} {
		if st, err := os.Stat(filepath.Join(f.keeper.cfg.Dir, path)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}

func TestLargeFileInParts(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	if o := f.deliver(s); o.State != payload.Stored {
		t.Errorf("%+v", o)
	}
	f.holds("db/password", strings.Repeat("0123456789abcdef", 1<<16))
}

// Wherever a delivery is cut off, by a lost connection or by a restart of the agent, it
// goes on with the first byte that is not here, and in the end the payload is in its
// place.
func TestResume(t *testing.T) {
	const size = 5*wire.MaxChunk/2 + 1
	content := strings.Repeat("0123456789", size/10)
	for name, again := range map[string]func(f *fixture){
		"another session": func(*fixture) {},
		"another agent":   func(f *fixture) { f.restart() },
	} {
		for cut := 0; ; cut++ {
			f := newFixture(t)
			s := f.send(1, payload.File, []byte(content))
			here, whole := f.cut(s, cut)
			again(f)
			if f.offer(s); here < uint64(len(s.sealed)) {
				if m := only[wire.Fetch](f); m.Offset != here {
					t.Errorf("%s after %d parts: it goes on at %d, want %d", name, cut, m.Offset, here)
				}
			} else if !whole {
				only[wire.Ask](f)
			}
			if whole {
				if o := f.outcome(s); o.State != payload.Stored {
					t.Errorf("%s: the lost receipt is %+v", name, o)
				}
				f.holds("db/password", content)
				break
			}
			if o := f.deliver(s); o.State != payload.Stored {
				t.Errorf("%s after %d parts: %+v", name, cut, o)
			}
			f.holds("db/password", content)
			f.clean()
		}
	}
}

// cut has a delivery go on until as many messages were answered, and returns how much of
// the ciphertext is here, and whether all was done, the last answer being the share.
func (f *fixture) cut(s sent, messages int) (here uint64, opened bool) {
	f.t.Helper()
	f.offer(s)
	for range messages {
		switch m := only[wire.Message](f).(type) {
		case wire.Fetch:
			c, b := s.part(m)
			f.take(c, b...)
			here += uint64(len(b))
		case wire.Ask:
			f.take(s.release())
			return here, true
		}
	}
	return here, false
}

func TestI27_ReplacedAndNeverByAnOlderVersion(t *testing.T) {
	f := newFixture(t)
	first, second := f.send(1, payload.File, []byte("one")), f.send(2, payload.File, []byte("two"))
	f.deliver(first)
	f.deliver(second)
	f.holds("db/password", "two")
	f.clean()

	f.offer(first)
	if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, "newer") {
		t.Errorf("%+v", r)
	}
	f.holds("db/password", "two")
	if err := os.RemoveAll(f.keeper.cfg.Dir); err != nil { // a reboot
		t.Fatal(err)
	}
	f.restart()
	f.offer(first)
	only[wire.PayloadRefusal](f)

	other := f.send(2, payload.File, []byte("another two"))
	f.offer(other)
	if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, "was another") {
		t.Errorf("%+v", r)
	}
	if o := f.deliver(second); o.State != payload.Stored {
		t.Errorf("the same version after a reboot: %+v", o)
	}
	f.holds("db/password", "two")
	f.deliver(f.send(3, payload.File, []byte("three")))
	f.holds("db/password", "three")
}

// Each is refused before the TPM, a key or a byte of it is touched.
func TestI27_RefusedOffers(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*payload.Manifest)
		after  func(f *fixture, s *sent)
		want   string
	}{
		"of another agent":     {change: func(m *payload.Manifest) { m.Agent = strings.Repeat("b2", 32) }, want: "for agent b2"},
		"expired":              {change: func(m *payload.Manifest) { m.Expires = now }, want: "expired"},
		"another share":        {after: func(_ *fixture, s *sent) { s.offer.Object = bytes.Repeat([]byte{1}, 32) }, want: "sealed share"},
		"a stranger's":         {after: func(f *fixture, s *sent) { f.sign(s, stranger) }, want: "another key"},
		"a forged signature":   {after: func(_ *fixture, s *sent) { s.offer.Manifest[len(s.offer.Manifest)-1] ^= 1 }, want: "verification"},
		"a changed ciphertext": {after: func(_ *fixture, s *sent) { s.sealed[0] ^= 1 }, want: "ciphertext"},
	} {
		f := newFixture(t)
		change := c.change
		if change == nil {
			change = func(*payload.Manifest) {}
		}
		s := f.send(1, payload.File, []byte("secret"), change)
		if c.after != nil {
			c.after(f, &s)
		}
		f.offer(s)
		if name == "a changed ciphertext" {
			chunk, b := s.part(only[wire.Fetch](f))
			f.take(chunk, b...)
		}
		if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
		f.take(s.release())
		if f.tpm.calls > 0 || len(f.said) > 0 {
			t.Errorf("%s: the TPM was asked %d times, said %v", name, f.tpm.calls, f.said)
		}
		f.holds("db/password", "")
		f.holds("../"+filepath.Base(f.keeper.cfg.State), "")
	}
}

// That a payload has expired, which it is offered for as long as it is not withdrawn, is
// no error of anybody's; what is not the operator's is.
func TestExpiryIsNoError(t *testing.T) {
	for want, change := range map[string]func(*payload.Manifest){
		"level=INFO":  func(m *payload.Manifest) { m.Expires = now },
		"level=ERROR": func(m *payload.Manifest) { m.Agent = strings.Repeat("b2", 32) },
	} {
		f := newFixture(t)
		var log strings.Builder
		f.keeper.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		f.offer(f.send(1, payload.File, []byte("secret"), change))
		if !strings.Contains(log.String(), want+` msg="a payload is refused"`) {
			t.Errorf("want %s: %s", want, log.String())
		}
	}
}

// The verifier has a share of its own, or gives it without having been asked.
func TestI27_RefusedReleases(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.offer(s)
	f.take(s.release()) // the ciphertext is not here
	if len(f.said) > 0 || f.tpm.calls > 0 {
		t.Errorf("said %v", f.said)
	}
	f.serve(s)
	forged := s.release()
	forged.Share[0] ^= 1
	f.take(forged)
	if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, "does not open") {
		t.Errorf("%+v", r)
	}
	f.holds("db/password", "")
	f.clean()

	s.manifest.Version = 2 // keys are those of version 1
	f.sign(&s, f.operator)
	f.serve(s)
	f.take(s.release())
	if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, "does not open") {
		t.Errorf("%+v", r)
	}
}

func TestI27_AnotherTPMDoesNotOpenIt(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	s.offer.Secret = []byte("for another")
	var err error
	if s.manifest.Share, err = (payload.SealedShare{Object: s.offer.Object, Secret: s.offer.Secret}).Digest(); err != nil {
		t.Fatal(err)
	}
	f.sign(&s, f.operator)
	f.serve(s)
	f.take(s.release())
	if r := only[wire.PayloadRefusal](f); !strings.Contains(r.Reason, "TPM") {
		t.Errorf("%+v", r)
	}
	if opened, err := os.ReadDir(f.keeper.cfg.State); err != nil || len(opened) != 0 {
		t.Errorf("what was not opened counts as a version: %v, %v", opened, err)
	}
}

func TestWithdrawn(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.deliver(s)
	reader, err := os.Open(filepath.Join(f.keeper.cfg.Dir, "db/password"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f.offer()
	if o := f.outcome(s); o.State != payload.Withdrawn || o.Reason == "" {
		t.Errorf("%+v", o)
	}
	f.holds("db/password", "")
	if b := make([]byte, 6); true {
		if _, err := reader.Read(b); err != nil || string(b) != "\x00\x00\x00\x00\x00\x00" {
			t.Errorf("whoever has it open still reads %q, %v", b, err)
		}
	}
	for name, again := range map[string]func(){"another session": func() {}, "another agent": f.restart} {
		again()
		f.offer() // the receipt may have been lost
		if o := f.outcome(s); o.State != payload.Withdrawn {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if o := f.deliver(s); o.State != payload.Stored {
		t.Errorf("offered again: %+v", o)
	}
	f.restart()
	f.offer(s)
	if o := f.outcome(s); o.State != payload.Stored {
		t.Errorf("offered again, and a restart: %+v", o)
	}
}

func TestI04_WithdrawnReceiptsAreBounded(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, nil)
	f.deliver(s)
	db := f.keeper.held["db"]
	for n := range maxGone + 10 {
		name := fmt.Sprintf("p%03d", n)
		f.keeper.held[name] = db
		f.keeper.withdraw(name, "test")
	}
	if len(f.keeper.gone) != maxGone {
		t.Errorf("%d are kept", len(f.keeper.gone))
	}
	f.restart()
	if f.offer(s); len(f.said) != maxGone+1 {
		t.Errorf("said %d", len(f.said))
	}
}

func TestWithdrawnWhenUntrusted(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.deliver(s)
	verdict := wire.Verdict{Trust: wire.Untrusted, Nonce: make([]byte, wire.NonceSize)}
	f.take(verdict)
	f.holds("db/password", "secret")
	f.keeper.cfg.WithdrawUntrusted = true
	verdict.Trust = wire.Stale
	f.take(verdict)
	f.holds("db/password", "secret")
	verdict.Trust = wire.Untrusted
	f.take(verdict)
	if o := f.outcome(s); o.State != payload.Withdrawn || !strings.Contains(o.Reason, "not trusted") {
		t.Errorf("%+v", o)
	}
	f.holds("db/password", "")
	if o := f.deliver(s); o.State != payload.Stored { // it is trusted again
		t.Errorf("%+v", o)
	}
}

// What is held is held after a restart, and said so; a directory that nobody knows is
// wiped.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.deliver(s)
	if err := os.Mkdir(filepath.Join(f.keeper.cfg.Dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.holds("db/password", "secret")
	if _, err := os.Stat(filepath.Join(f.keeper.cfg.Dir, "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that nobody knows: %v", err)
	}
	f.offer(s)
	if o := f.outcome(s); o.State != payload.Stored {
		t.Errorf("%+v", o)
	}
}

// One that is bad keeps no other from its place (I10).
func TestI10_OneBadOffer(t *testing.T) {
	f := newFixture(t)
	good := f.send(1, payload.File, []byte("good"), func(m *payload.Manifest) { m.Name = "good" })
	bad := f.send(1, payload.File, []byte("bad"))
	bad.offer.Manifest = []byte("bad")
	f.offer(bad, good)
	c, b := good.part(only[wire.Fetch](f))
	f.take(c, b...)
	f.take(good.release())
	f.holds("good/password", "good")
}

// Evidence that was not accepted brings no share, and the agent asks again.
func TestAskAgain(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.serve(s)
	verdict := wire.Verdict{Trust: wire.Trusted, Nonce: make([]byte, wire.NonceSize)}
	if f.take(verdict); len(f.said) > 0 {
		t.Errorf("said %v at once", f.said)
	}
	f.keeper.arriving["db"].shareAsked = time.Now().Add(-2 * askAgain)
	f.take(verdict)
	only[wire.Ask](f)
	f.keeper.arriving["db"].shareAsked = time.Now().Add(-2 * askAgain)
	verdict.Trust = wire.Untrusted
	if f.take(verdict); len(f.said) > 0 {
		t.Errorf("said %v while untrusted", f.said)
	}
}

func TestChunksThatWereNotAskedFor(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, make([]byte, 1<<20))
	f.offer(s)
	c, b := s.part(only[wire.Fetch](f))
	for name, change := range map[string]func(*wire.Chunk){
		"another offset":  func(c *wire.Chunk) { c.Offset = 5 },
		"another version": func(c *wire.Chunk) { c.Version = 9 },
		"another payload": func(c *wire.Chunk) { c.Name = "other" },
	} {
		other := c
		change(&other)
		if f.take(other, b...); len(f.said) > 0 || f.keeper.arriving["db"].received > 0 {
			t.Errorf("%s: said %v", name, f.said)
		}
	}
	f.take(c, b...)
	if again := only[wire.Fetch](f); again.Offset != uint64(len(b)) {
		t.Errorf("%+v", again)
	}
	if f.take(c, b...); len(f.said) > 0 {
		t.Errorf("the same part twice: said %v", f.said)
	}
}

func TestTakeNeverWaits(t *testing.T) {
	f := newFixture(t)
	reply := func(wire.Message) error { return nil }
	for n := range maxEvents {
		if !f.keeper.Take(wire.Offers{}, nil, reply) {
			t.Fatalf("event %d is refused", n)
		}
	}
	if f.keeper.Take(wire.Offers{}, nil, reply) {
		t.Error("more than the limit is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.keeper.Run(ctx) }()
	for !f.keeper.Take(wire.Offers{}, nil, reply) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestI27_DiskIsRefused(t *testing.T) {
	if err := inMemory("/dev/shm"); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Dir: "/proc/self", State: filepath.Join(t.TempDir(), "s")})
	if err == nil || !strings.Contains(err.Error(), "not in memory") {
		t.Errorf("%v", err)
	}
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	f.serve(s)
	f.keeper.cfg.Dir = "/proc/self" // what was mounted there is gone
	f.take(s.release())
	if o := f.outcome(s); o.State != payload.Failed || !strings.Contains(o.Reason, "not in memory") {
		t.Errorf("%+v", o)
	}
}

func TestI05_OpenDirectoryIsRefused(t *testing.T) {
	dir := memory(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := prepare(dir); err == nil || !strings.Contains(err.Error(), "0755") {
		t.Errorf("%v", err)
	}
	link := filepath.Join(memory(t), "link")
	if err := os.Symlink(memory(t), link); err != nil {
		t.Fatal(err)
	}
	if err := prepare(link); err == nil {
		t.Error("a link is taken for the directory")
	}
}

func TestBrokenVersionsAreNotForgotten(t *testing.T) {
	f := newFixture(t)
	digest := strings.Repeat("0a", 32)
	for name, value := range map[string]string{"a b": "1 " + digest, "none": "0 " + digest, "word": "x", "short": "1 0a", "plus": "+1 " + digest, "more": "1 " + digest + " "} {
		path := filepath.Join(f.keeper.cfg.State, name)
		if err := keep.Write(path, value); err != nil {
			t.Fatal(err)
		}
		if _, err := New(f.keeper.cfg); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(f.keeper.cfg.State, "file")
	if err := os.WriteFile(file, []byte("1 "+digest), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(f.keeper.cfg); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a file in the place of a value: %v", err)
	}
}

func TestClosedSaysWhy(t *testing.T) {
	f := newFixture(t)
	s := f.send(1, payload.File, []byte("secret"))
	var said []wire.Message
	reply := func(m wire.Message) error { said = append(said, m); return nil }
	c := Closed{Why: "no key", Log: f.keeper.cfg.Log}
	if !c.Take(wire.Offers{Offers: []wire.Offer{{Manifest: []byte("x")}, s.offer}}, nil, reply) || len(said) != 1 || said[0] != (wire.PayloadRefusal{Name: "db", Version: 1, Reason: "no key"}) {
		t.Errorf("%v", said)
	}
	if !c.Take(wire.Verdict{}, nil, reply) || len(said) != 1 {
		t.Errorf("%v", said)
	}
}
