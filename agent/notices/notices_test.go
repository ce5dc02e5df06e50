package notices_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/keep"
	"quicklime/agent/notices"
	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/wiretest"
)

// machine is where notices are taken.
type machine struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	cfg notices.Config
	log *wiretest.Log
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := notice.KeyOf(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir, log := t.TempDir(), new(wiretest.Log)
	return &machine{t, key, notices.Config{
		Key: k, AgentID: strings.Repeat("a1", 32), State: filepath.Join(dir, "last-notice"), Keys: filepath.Join(dir, "notice-keys"), Spool: filepath.Join(dir, "notices"), Actions: t.TempDir(),
		Log: slog.New(slog.NewJSONHandler(log, nil)), Now: time.Now,
	}, log}
}

func (m *machine) open() *notices.Taker {
	m.t.Helper()
	taker, err := notices.Open(m.cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	return taker
}

// noticed is what the machine says when it has accepted a notice.
func (m *machine) noticed(last, missing uint64) wire.Noticed {
	return wire.Noticed{Last: last, Missing: missing, Key: m.cfg.Key.ID()}
}

// refused is what it says of one that it has not, and of time only that it says it.
func (m *machine) refused(last uint64, why wire.NoticeRefusal) wire.Noticed {
	n := m.noticed(last, 0)
	n.Refused = why
	return n
}

// timeless is an answer without the clock, which must be there if it says why.
func (m *machine) timeless(n wire.Noticed) wire.Noticed {
	m.t.Helper()
	if (n.Clock > 0) != (n.Refused == wire.RefusedClock) {
		m.t.Errorf("%+v", n)
	}
	n.Clock = 0
	return n
}

// notice is one about a machine, changed.
func (m *machine) notice(number uint64, change func(*notice.Notice)) []byte {
	m.t.Helper()
	now := time.Now().Truncate(time.Second)
	n := notice.Notice{Sequence: number, Issued: now, Expires: now.Add(time.Hour), ID: strings.Repeat("0a", 16), Kind: wire.EventLost,
		Subject: strings.Repeat("b1", 32), Label: "web", Was: wire.Trusted, Trust: wire.Untrusted, At: now}
	if change != nil {
		change(&n)
	}
	b, err := notice.Sign(n, m.key, rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// spooled are the names in the spool.
func (m *machine) spooled() (names []string) {
	m.t.Helper()
	entries, err := os.ReadDir(m.cfg.Spool)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// I28: the number is kept on disk, through a restart, and only grows; what is missing
// is counted and said.
func TestI28_NumberIsKeptOnDisk(t *testing.T) {
	m := newMachine(t)
	old := m.notice(8, nil)
	for _, step := range []struct {
		number, missing uint64
	}{{7, 0}, {9, 1}} {
		taker := m.open() // each time anew, as after a restart
		if got := taker.Take(m.notice(step.number, nil)); got != m.noticed(step.number, step.missing) {
			t.Errorf("%d: %+v", step.number, got)
		}
	}
	taker := m.open()
	for name, b := range map[string][]byte{"an old one": old, "the same again": m.notice(9, nil)} {
		if got := taker.Take(b); got != m.noticed(9, 0) || m.log.Count("a notice was not taken") == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if m.log.Count("notices of other machines are missing") != 1 {
		t.Errorf("the log says:\n%s", m.log)
	}
	if diff := cmp.Diff([]string{notices.Name(7), notices.Name(9)}, m.spooled()); diff != "" {
		t.Error(diff)
	}
}

// I28: what another key signed, or what is out of its time, changes nothing on disk.
func TestI28_WhatIsNotTakenLeavesNothing(t *testing.T) {
	m, other := newMachine(t), newMachine(t)
	taker := m.open()
	for name, c := range map[string]struct {
		b   []byte
		why wire.NoticeRefusal
	}{
		"another key": {other.notice(1, nil), wire.RefusedKey},
		"garbage":     {[]byte("garbage"), wire.RefusedKey},
		"expired":     {m.notice(1, func(n *notice.Notice) { n.Issued, n.Expires = n.Issued.Add(-2*time.Hour), n.Issued.Add(-time.Hour) }), wire.RefusedClock},
		"early":       {m.notice(1, func(n *notice.Notice) { n.Issued, n.Expires = n.Issued.Add(time.Hour), n.Issued.Add(2*time.Hour) }), wire.RefusedClock},
	} {
		if got := m.timeless(taker.Take(c.b)); got != m.refused(0, c.why) || m.spooled() != nil {
			t.Errorf("%s: %+v, %q", name, got, m.spooled())
		}
	}
	if _, err := keep.Read(m.cfg.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a state was written: %v", err)
	}
}

// I28: a number that cannot be kept, or a notice that nobody could act on, was not
// taken; the next one shows it.
func TestI28_NoNoticeWithoutItsNumberOnDisk(t *testing.T) {
	for name, spoil := range map[string]func(m *machine){
		"state": func(m *machine) { m.cfg.State = filepath.Join(m.cfg.State, "none") },
		"spool": func(m *machine) {
			m.cfg.Spool = filepath.Join(m.cfg.Actions, "file")
			os.WriteFile(m.cfg.Spool, nil, 0o600)
		},
	} {
		m := newMachine(t)
		spoil(m)
		taker := m.open()
		if got := taker.Take(m.notice(1, nil)); got != m.refused(0, wire.RefusedStorage) || taker.Begin() != m.noticed(0, 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestDamagedStateIsNotTheBeginning(t *testing.T) {
	m := newMachine(t)
	if err := keep.Write(m.cfg.State, "{"); err != nil {
		t.Fatal(err)
	}
	if _, err := notices.Open(m.cfg); err == nil {
		t.Error("a damaged state is none")
	}
	if err := errors.Join(os.Remove(m.cfg.State), os.WriteFile(m.cfg.State, []byte(`{"last":1}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := notices.Open(m.cfg); err == nil {
		t.Error("a file in its place is none")
	}
}

// The numbers of another installation are nothing to this one.
func TestAnotherInstallationBeginsAnew(t *testing.T) {
	m, next := newMachine(t), newMachine(t)
	if got := m.open().Take(m.notice(100, nil)); got != m.noticed(100, 0) {
		t.Fatalf("%+v", got)
	}
	next.cfg.State = m.cfg.State
	if got := next.open().Take(next.notice(3, nil)); got != next.noticed(3, 0) {
		t.Errorf("%+v", got)
	}
}

// A notice about the machine itself is taken, and says so.
func TestNoticeAboutThisMachineIsMarked(t *testing.T) {
	m := newMachine(t)
	if got := m.open().Take(m.notice(1, func(n *notice.Notice) { n.Subject = m.cfg.AgentID })); got != m.noticed(1, 0) {
		t.Fatalf("%+v", got)
	}
	if m.log.Count(`"this_machine":true`) != 1 || len(m.spooled()) != 1 {
		t.Errorf("%q, %s", m.spooled(), m.log)
	}
}

// A marker says how many are lost.
func TestMarker(t *testing.T) {
	m := newMachine(t)
	taker := m.open()
	taker.Take(m.notice(1, nil))
	got := taker.Take(m.notice(9, func(n *notice.Notice) {
		n.Kind, n.ID, n.Subject, n.Label, n.Was, n.Trust, n.Dropped = notice.Dropped, "", "", "", wire.Removed, wire.Removed, 8
	}))
	if got != m.noticed(9, 0) || m.log.Count(`"dropped":8`) != 1 {
		t.Errorf("%+v, %s", got, m.log)
	}
}

// Without a directory of actions nothing waits for anybody; with one that nobody looks
// at, what waits is bounded.
func TestI04_SpoolIsBounded(t *testing.T) {
	m := newMachine(t)
	m.cfg.Actions = filepath.Join(m.cfg.Actions, "none")
	if got := m.open().Take(m.notice(1, nil)); got != m.noticed(1, 0) || m.spooled() != nil {
		t.Errorf("%q, %+v", m.spooled(), got)
	}
	m.cfg.Actions = filepath.Dir(m.cfg.Actions)
	if err := os.Mkdir(m.cfg.Spool, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := os.Symlink("waits", filepath.Join(m.cfg.Spool, notices.Name(uint64(i)))); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.open().Take(m.notice(2000, nil)); got.Last != 2000 {
		t.Fatalf("%+v", got)
	}
	if s := m.spooled(); len(s) != 1000 || s[0] != notices.Name(1) || s[999] != notices.Name(2000) || m.log.Count("the oldest is dropped") != 1 {
		t.Errorf("%d from %s to %s, %s", len(s), s[0], s[len(s)-1], m.log)
	}
}
