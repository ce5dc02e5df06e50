package push

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"quicklime/wire"
	"quicklime/wire/channel"
)

// taker takes every notice but the bad one, and misses one before each.
type taker struct{ last uint64 }

func (t *taker) Begin() wire.Noticed { return wire.Noticed{Last: t.last} }

func (t *taker) Take(envelope []byte) wire.Noticed {
	if string(envelope) == "bad" {
		return wire.Noticed{Last: t.last, Refused: wire.RefusedKey}
	}
	t.last += 2
	return wire.Noticed{Last: t.last, Missing: 1}
}

// An agent says where it is after each Welcome and each notice that it took. One that
// it did not take changes nothing: it goes on attesting.
func TestI28_NoticesAreAskedForAndAnswered(t *testing.T) {
	f := run(t, func(m *machine) { m.notices = &taker{last: 5} })
	p := f.accept()
	nonce := p.welcome(0, false)
	if m := p.receive(); m != (wire.Noticed{Last: 5}) {
		t.Fatalf("%+v", m)
	}
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	p.accepted(p.hello.Entries)
	p.send(wire.Notice{Envelope: []byte("bad")})
	p.send(wire.Notice{Envelope: []byte("good")})
	if m := p.receive(); m != (wire.Noticed{Last: 5, Refused: wire.RefusedKey}) {
		t.Errorf("%+v", m)
	}
	if m := p.receive(); m != (wire.Noticed{Last: 7, Missing: 1}) {
		t.Errorf("%+v", m)
	}
	nonce = p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: nonce, First: p.hello.Entries, Replays: true})
}

// An agent without a pinned key asks for none and takes none.
func TestI28_WithoutAKeyNoNoticeIsTaken(t *testing.T) {
	f := run(t, nil)
	p, _ := f.begin() // in which nothing comes before the evidence
	p.send(wire.Notice{Envelope: []byte("good")})
	if err := p.end(); err == nil || err.Code != channel.CodeProtocol {
		t.Errorf("the session ended with %v", err)
	}
}

// slow is a disk that takes nothing until it is released.
type slow struct {
	taker
	release chan struct{}
}

func (s *slow) Take(envelope []byte) wire.Noticed {
	<-s.release
	return s.taker.Take(envelope)
}

// A challenge does not wait until all notices that came before it are on disk.
func TestI08_NoChallengeWaitsBehindNotices(t *testing.T) {
	disk := &slow{release: make(chan struct{})}
	release := sync.OnceFunc(func() { close(disk.release) })
	defer release()
	f := run(t, func(m *machine) { m.notices = disk })
	p := f.accept()
	nonce := p.welcome(0, false)
	p.receive() // which notices it asks for
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	p.accepted(p.hello.Entries)
	for range 3 {
		p.send(wire.Notice{Envelope: []byte("good")})
	}
	nonce = p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: nonce, First: p.hello.Entries, Replays: true})
	release()
	for i := range uint64(3) {
		if m := p.receive(); m != (wire.Noticed{Last: 2 * (i + 1), Missing: 1}) {
			t.Errorf("%+v", m)
		}
	}
}

// Evidence that is larger than what a verifier takes unread keeps no notice from being
// read, nor what comes behind it: the verifier may have to be rid of them before it reads
// evidence.
func TestI08_EvidenceAndNoticesPassEachOther(t *testing.T) {
	disk := &slow{release: make(chan struct{})}
	release := sync.OnceFunc(func() { close(disk.release) })
	defer release()
	f := run(t, func(m *machine) {
		m.notices = disk
		paths := make([]string, 6000)
		for n := range paths {
			paths[n] = fmt.Sprintf("/%s/%d", strings.Repeat("a", 400), n)
		}
		m.measure(paths...)
	})
	p := f.accept()
	nonce := p.welcome(0, false)
	p.receive() // which notices it asks for
	for range maxNotices {
		p.send(wire.Notice{Envelope: make([]byte, 400)})
	}
	answered := p.challenge()
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	p.accepted(p.hello.Entries)
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: answered, First: p.hello.Entries, Replays: true})
	release()
	for i := range uint64(maxNotices) {
		if m := p.receive(); m != (wire.Noticed{Last: 2 * (i + 1), Missing: 1}) {
			t.Fatalf("%+v", m)
		}
	}
}

// A notice comes after Welcome, as all else does.
func TestI28_NoNoticeBeforeWelcome(t *testing.T) {
	f := run(t, func(m *machine) { m.notices = &taker{} })
	p := f.accept()
	p.send(wire.Notice{Envelope: []byte("good")})
	if err := p.end(); err == nil || err.Code != channel.CodeProtocol {
		t.Errorf("the session ended with %v", err)
	}
}
