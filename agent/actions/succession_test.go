package actions_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"quicklime/agent/actions"
	"quicklime/agent/keychain"
	"quicklime/wire/notice"
)

// succeed keeps, as the agent does, that another key takes the place of one, which by
// signed. It returns the other one.
func (m *machine) succeed(number uint64, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	m.t.Helper()
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	to, err := notice.KeyOf(&next.PublicKey)
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := notice.Succession{Number: number, To: to, At: time.Now()}.Sign(by, rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := keychain.Add(m.cfg.Keys, number, b); err != nil {
		m.t.Fatal(err)
	}
	return next
}

// I28: actions follow the successions that the agent keeps, each checked; what waited
// under the key before is acted on first, and nothing under it after that.
func TestI28_ActionsFollowTheKey(t *testing.T) {
	m := newMachine(t)
	m.cfg.Keys = filepath.Join(t.TempDir(), "notice-keys")
	m.action("a", `echo ran >> $OUT/ran`)
	m.run() // pins
	second := m.succeed(1, m.key)
	third := m.succeed(2, second)
	m.spool(1, m.key)
	m.spool(2, third)
	m.run()
	if got := m.wrote("ran"); got != "ran\nran\n" {
		t.Errorf("%q", got)
	}
	m.spool(3, m.key)
	m.spool(4, second)
	m.spool(5, m.succeed(3, second)) // from a key that is not in force any more
	m.spool(6, m.succeed(4, m.succeed(3, m.key)))
	m.run()
	if got := m.wrote("ran"); got != "ran\nran\n" {
		t.Errorf("a key that was replaced has actions run: %q", got)
	}
}

// I28: an agent that was taken over leads actions to no key of its own.
func TestI28_ForgedSuccessionsAreNotFollowed(t *testing.T) {
	m, thief := newMachine(t), newMachine(t)
	m.cfg.Keys = filepath.Join(t.TempDir(), "notice-keys")
	m.action("a", `echo ran >> $OUT/ran`)
	m.spool(1, m.succeed(1, thief.key))
	if err := keychain.Add(m.cfg.Keys, 2, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	m.spool(2, thief.key)
	m.run()
	if got := m.wrote("ran"); got != "" {
		t.Errorf("%q", got)
	}
}

// A machine that joined again by a token with the newest key goes on.
func TestActionsGoOnAfterJoiningAgain(t *testing.T) {
	m := newMachine(t)
	m.cfg.Keys = filepath.Join(t.TempDir(), "notice-keys")
	m.action("a", `echo ran >> $OUT/ran`)
	m.spool(1, m.key)
	m.run()
	next := m.succeed(1, m.key)
	m.spool(2, next)
	m.run()
	k, err := notice.KeyOf(&next.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	m.cfg.Key = k
	m.spool(3, next)
	m.spool(2, next)
	if err := actions.Run(t.Context(), m.cfg); err != nil || m.wrote("ran") != "ran\nran\nran\n" {
		t.Errorf("%v, %q", err, m.wrote("ran"))
	}
}

// So does one that joined again before anything was acted on under the newest key. It still
// acts on what waited under the one before, and not again on what it acted on.
func TestI28_ActionsGoOnUnderAKeyThatTheyHaveNotSeen(t *testing.T) {
	m, thief := newMachine(t), newMachine(t)
	m.cfg.Keys = filepath.Join(t.TempDir(), "notice-keys")
	m.action("a", `echo ran >> $OUT/ran`)
	m.spool(1, m.key)
	m.run()
	last := m.succeed(2, m.succeed(1, m.key))
	joined := m.cfg.Key
	for name, key := range map[string]*ecdsa.PrivateKey{"another's": thief.key, "one that another's leads to": m.succeed(3, thief.key)} {
		m.joined(key)
		if err := actions.Run(t.Context(), m.cfg); err == nil {
			t.Errorf("a token with %s", name)
		}
	}
	m.joined(last)
	m.spool(2, m.key)
	m.spool(3, last)
	for range 2 {
		if err := actions.Run(t.Context(), m.cfg); err != nil || m.wrote("ran") != "ran\nran\nran\n" {
			t.Fatalf("%v, %q", err, m.wrote("ran"))
		}
		m.spool(1, m.key)
		m.spool(3, last)
	}
	m.cfg.Key = joined // by a token of before, which leads to the same key
	m.spool(4, m.key)
	m.spool(5, last)
	if err := actions.Run(t.Context(), m.cfg); err != nil || m.wrote("ran") != "ran\nran\nran\nran\n" {
		t.Errorf("a token of before: %v, %q", err, m.wrote("ran"))
	}
}

// joined is what a token with a key makes of the machine.
func (m *machine) joined(key *ecdsa.PrivateKey) {
	m.t.Helper()
	var err error
	if m.cfg.Key, err = notice.KeyOf(&key.PublicKey); err != nil {
		m.t.Fatal(err)
	}
}
