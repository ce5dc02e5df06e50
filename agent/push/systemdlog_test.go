package push

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/wiretest"
)

// systemdMachine runs an agent on a machine that has a log of systemd's.
func systemdMachine(t *testing.T, log string, prepare func(m *machine)) *fixture {
	t.Helper()
	return run(t, func(m *machine) {
		m.systemd = filepath.Join(t.TempDir(), "tpm2-measure.log")
		m.measuredBySystemd(log)
		if prepare != nil {
			prepare(m)
		}
	})
}

// measuredBySystemd writes systemd's log.
func (m *machine) measuredBySystemd(log string) {
	if err := os.WriteFile(m.systemd, []byte(log), 0o600); err != nil {
		m.t.Error(err)
	}
}

// Systemd's log goes along when it has changed, when the verdict did not take it, and
// beside the boot log.
func TestI20_SystemdsLogIsSentWhenItChanges(t *testing.T) {
	f := systemdMachine(t, "one", nil)
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Systemd: "one", Replays: true})
	nonce = p.rejected(wire.EpochRollback, 0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Systemd: "one", Replays: true})
	nonce = p.accepted(1)
	f.machine.measure("/a")
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 1, Count: 1, Replays: true})
	p.accepted(2)
	f.machine.measuredBySystemd("one two")
	for _, want := range []string{"one two", ""} {
		asked := p.challenge()
		f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, First: 2, Systemd: want, Replays: true})
		p.accepted(2)
	}
	asked := p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, First: 2, Replays: true})
	nonce = p.rejected(wire.EpochRollback, 0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 2, Boot: "the boot log", Systemd: "one two", Replays: true})
}

// What systemd has measured when the quote is made is in the log when it is read.
func TestI20_SystemdsLogIsReadAfterTheQuote(t *testing.T) {
	f := systemdMachine(t, "before", func(m *machine) {
		m.afterQuote = func(n int) {
			if n == 1 {
				m.measuredBySystemd("after")
			}
		}
	})
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Systemd: "after", Replays: true})
}

// I20: while systemd holds its log's lock, a record is not written that a quote may cover.
func TestI20_SystemdsLogIsReadUnderItsLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tpm2-measure.log")
	if err := os.WriteFile(path, []byte("half a rec"), 0o600); err != nil {
		t.Fatal(err)
	}
	systemd, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	if err := unix.Flock(int(systemd.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	quoted := &session{cfg: Config{SystemdLog: path, Log: slog.New(slog.DiscardHandler)}, welcome: wire.Welcome{Selection: pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(15)}}}}
	if log, _, err := quoted.systemdLog(nil); !errors.Is(err, errLocked) || log != nil {
		t.Errorf("%q, %v", log, err)
	}
	beside := &session{cfg: quoted.cfg, welcome: wire.Welcome{Selection: pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}}}
	if log, _, err := beside.systemdLog([]byte("boot log")); err != nil || log != nil {
		t.Errorf("%q, %v", log, err)
	}
	read := make(chan string)
	go func() {
		log, _, err := quoted.systemdLog(nil)
		read <- string(log) + map[bool]string{true: "", false: ": failed"}[err == nil]
	}()
	if _, err := systemd.WriteString("ord"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(systemd.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "half a record" {
		t.Errorf("%q", got)
	}
	if log, _, err := beside.systemdLog(nil); err != nil || log != nil {
		t.Errorf("no PCR of systemd's is quoted, and %q goes along, %v", log, err)
	}
	if log, _, err := beside.systemdLog([]byte("boot log")); err != nil || string(log) != "half a record" {
		t.Errorf("beside the boot log: %q, %v", log, err)
	}
}

// A log that cannot be had is said to be so, once.
func TestSystemdLogsThatAreNotSent(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, make([]byte, wire.MaxSystemdLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, warnings := range map[string]int{long: 1, t.TempDir(): 1, filepath.Join(t.TempDir(), "none"): 0} {
		var out wiretest.Log
		s := &session{cfg: Config{SystemdLog: path, Log: slog.New(slog.NewTextHandler(&out, nil))}, welcome: wire.Welcome{Selection: pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(11)}}}}
		for range 2 {
			if log, _, err := s.systemdLog(nil); err != nil || log != nil {
				t.Errorf("%s: %q, %v", path, log, err)
			}
		}
		if n := out.Count("systemd's log is not sent"); n != warnings {
			t.Errorf("%s: %d warnings", path, n)
		}
	}
}
