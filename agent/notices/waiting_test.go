package notices_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/notices"
	"quicklime/wire"
	"quicklime/wire/notice"
)

// A machine whose clock is wrong has all notices, in order and once, when it is right
// again: none overtakes the one that was refused.
func TestI28_NoNoticeIsLostToAWrongClock(t *testing.T) {
	m := newMachine(t)
	off := 3 * time.Hour
	m.cfg.Now = func() time.Time { return time.Now().Add(-off) }
	taker := m.open()
	for n := uint64(1); n <= 3; n++ {
		got := taker.Take(m.notice(n, nil))
		if told := time.Unix(int64(got.Clock), 0); time.Since(told) < off-time.Minute {
			t.Errorf("it says that its clock has %v", told)
		}
		if m.timeless(got) != m.refused(0, wire.RefusedClock) {
			t.Errorf("number %d: %+v", n, got)
		}
	}
	if m.log.Count("notices are not taken") != 1 || m.log.Count("chronyc") != 1 {
		t.Errorf("the log says:\n%s", m.log)
	}
	off = 0
	if got := m.timeless(taker.Take(m.notice(3, nil))); got != m.refused(0, wire.RefusedClock) {
		t.Errorf("number 3 overtakes: %+v", got)
	}
	for n := uint64(1); n <= 3; n++ { // again, as the verifier sends them
		if got := taker.Take(m.notice(n, nil)); got != m.noticed(n, 0) {
			t.Errorf("number %d: %+v", n, got)
		}
	}
	if diff := cmp.Diff([]string{notices.Name(1), notices.Name(2), notices.Name(3)}, m.spooled()); diff != "" {
		t.Error(diff)
	}
	if m.log.Count("notices are taken again") != 1 || m.log.Count("are missing") != 0 {
		t.Errorf("the log says:\n%s", m.log)
	}
}

// One that was refused and is not there any more is stood for by a marker, and a new
// session does not wait for it: the verifier's word is that there is none.
func TestI28_WhatWasRefusedMayBeGone(t *testing.T) {
	dropped := func(n *notice.Notice) {
		n.Kind, n.ID, n.Subject, n.Label, n.Was, n.Trust, n.Dropped = notice.Dropped, "", "", "", wire.Removed, wire.Removed, n.Sequence
	}
	for name, next := range map[string]func(*machine, *notices.Taker) wire.Noticed{
		"a marker": func(m *machine, taker *notices.Taker) wire.Noticed { return taker.Take(m.notice(5, dropped)) },
		"a new session": func(m *machine, taker *notices.Taker) wire.Noticed {
			taker.Begin()
			return taker.Take(m.notice(5, nil))
		},
	} {
		m := newMachine(t)
		off := 3 * time.Hour
		m.cfg.Now = func() time.Time { return time.Now().Add(off) }
		taker := m.open()
		taker.Take(m.notice(1, nil))
		off = 0
		if got := next(m, taker); got != m.noticed(5, 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What a full disk kept out comes again, too.
func TestI28_NoNoticeIsLostToAFullDisk(t *testing.T) {
	m := newMachine(t)
	m.cfg.Spool = filepath.Join(m.cfg.Actions, "spool")
	if err := os.WriteFile(m.cfg.Spool, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taker := m.open()
	if got := taker.Take(m.notice(1, nil)); got != m.refused(0, wire.RefusedStorage) {
		t.Fatalf("%+v", got)
	}
	if err := os.Remove(m.cfg.Spool); err != nil {
		t.Fatal(err)
	}
	if got := taker.Take(m.notice(2, nil)); got != m.refused(0, wire.RefusedStorage) {
		t.Errorf("number 2 overtakes: %+v", got)
	}
	for n := uint64(1); n <= 2; n++ {
		if got := taker.Take(m.notice(n, nil)); got != m.noticed(n, 0) {
			t.Errorf("number %d: %+v", n, got)
		}
	}
}
