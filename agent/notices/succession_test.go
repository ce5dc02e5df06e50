package notices_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"quicklime/wire"
	"quicklime/wire/notice"
)

// rekey has the verifier sign with another key from now on, and returns the succession.
func (m *machine) rekey(number uint64) []byte {
	m.t.Helper()
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.rekeyTo(number, next)
}

func (m *machine) rekeyTo(number uint64, next *ecdsa.PrivateKey) []byte {
	m.t.Helper()
	to, err := notice.KeyOf(&next.PublicKey)
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := notice.Succession{Number: number, To: to, At: time.Now()}.Sign(m.key, rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.key = next
	return b
}

func (m *machine) keyID() string {
	m.t.Helper()
	k, err := notice.KeyOf(&m.key.PublicKey)
	if err != nil {
		m.t.Fatal(err)
	}
	return k.ID()
}

// I28: a machine follows the verifier to another key, through restarts, and takes
// nothing under the one before. Numbers of notices go on.
func TestI28_AnotherKeyTakesThePinnedOnesPlace(t *testing.T) {
	m := newMachine(t)
	m.open().Take(m.notice(1, nil))
	old := m.notice(2, nil)
	first := m.rekey(1)
	second := m.rekey(2)
	if got := m.open().Take(m.notice(2, nil)); got != m.refused(1, wire.RefusedKey) {
		t.Errorf("a key that nothing leads to: %+v", got)
	}
	if got := m.open().Take(second); got != m.noticed(1, 0) {
		t.Errorf("a succession from a key that is not the machine's: %+v", got)
	}
	for _, b := range [][]byte{first, second, first} {
		m.open().Take(b)
	}
	want := wire.Noticed{Last: 1, Key: m.keyID()}
	if got := m.open().Begin(); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	want.Refused = wire.RefusedKey
	if got := m.open().Take(old); got != want {
		t.Errorf("the old key: %+v", got)
	}
	want = wire.Noticed{Last: 2, Key: m.keyID()}
	if got := m.open().Take(m.notice(2, nil)); got != want {
		t.Errorf("the new key: %+v", got)
	}
	if kept, err := os.ReadDir(m.cfg.Keys); err != nil || len(kept) != 2 {
		t.Errorf("%d successions are kept, %v", len(kept), err)
	}
}

// I28: successions only grow: whoever has an old key leads no machine back to one.
func TestI28_AnOldSuccessionIsNotFollowed(t *testing.T) {
	m := newMachine(t)
	first, joined := m.key, m.cfg.Key
	there := m.rekey(1)
	back := m.rekeyTo(2, first) // the verifier goes back to its first key
	taker := m.open()
	taker.Take(there)
	taker.Take(back)
	want := wire.Noticed{Key: joined.ID(), Refused: wire.RefusedKey}
	if got := taker.Take(there); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// I28: a machine that joins again by a token with the key that it had come to goes on, and
// so does one whose token is of before: it is not led back to a key that was replaced.
func TestI28_JoinedAgain(t *testing.T) {
	m := newMachine(t)
	joined, before := m.cfg.Key, m.key
	taker := m.open()
	taker.Take(m.notice(7, nil))
	taker.Take(m.rekey(1))
	taker.Take(m.rekey(2))
	k, err := notice.KeyOf(&m.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]notice.Key{"with the key": k, "of before": joined} {
		m.cfg.Key = key
		taker := m.open()
		want := wire.Noticed{Last: 7, Key: m.keyID()}
		if got := taker.Begin(); got != want {
			t.Errorf("a token %s: %+v", name, got)
		}
		now := m.key
		m.key = before
		want.Refused = wire.RefusedKey
		if got := taker.Take(m.notice(8, nil)); got != want {
			t.Errorf("a token %s: a notice by the key before: %+v", name, got)
		}
		m.key = now
	}
}
