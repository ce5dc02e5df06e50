package payload

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// nobody is the user that the agent is in these tests.
const nobody = 65534

// asAgent does something as the agent's user, as whom the whole process runs meanwhile.
func asAgent(t *testing.T, do func()) {
	t.Helper()
	become := func(uid int) {
		if err := syscall.Setresuid(-1, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	become(nobody)
	defer become(0)
	do()
}

// newUnprivileged is an agent that is not root, with a payload whose program root runs.
func newUnprivileged(t *testing.T, program string) (*fixture, sent) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root becomes somebody else")
	}
	f := newFixture(t)
	cfg := f.keeper.cfg
	cfg.Dir, cfg.Run = memory(t), "*/autorun.sh"
	cfg.State = filepath.Join(memory(t), "state")
	for _, d := range []string{cfg.Dir, filepath.Dir(cfg.State)} {
		if err := os.Chown(d, nobody, -1); err != nil {
			t.Fatal(err)
		}
	}
	s := f.send(1, payload.Archive, tarOf(t, script(program), file("key", "hunter2")))
	asAgent(t, func() {
		f.start(cfg)
		f.deliver(s)
	})
	return f, s
}

// What a program leaves that root runs, directories and all, is wiped with the payload.
func TestWithdrawnWithWhatRootLeft(t *testing.T) {
	f, s := newUnprivileged(t, "mkdir -p cache/deep; cp key cache/deep/key; chmod -R 500 cache")
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	asAgent(t, func() { f.offer() })
	if o := f.outcome(s); o.State != payload.Withdrawn || strings.Contains(o.Reason, "not wiped") {
		t.Errorf("%+v", o)
	}
	f.holds("db/key", "")
	f.clean()
}

// A payload leaves its place even if the agent cannot wipe all that is in it, which the
// operator is told, and which is wiped as soon as it can be.
func TestWithdrawnThoughItCannotBeWiped(t *testing.T) {
	f, s := newUnprivileged(t, "true")
	left := filepath.Join(f.keeper.cfg.Dir, "db", "cache")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "copy"), []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	asAgent(t, func() { f.offer() })
	if o := f.outcome(s); o.State != payload.Withdrawn || !strings.Contains(o.Reason, "not wiped") {
		t.Errorf("%+v", o)
	}
	f.holds("db/key", "")
	f.holds("db/cache/copy", "")
	asAgent(t, func() {
		f.restart() // refuses no payload for it
		if o := f.deliver(s); o.State != payload.Stored {
			t.Errorf("%+v", o)
		}
	})
	if err := f.runner("*/autorun.sh").RunAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	asAgent(t, f.keeper.wipeAgain)
	f.clean()
}

// A directory that nobody knows and that cannot be wiped keeps no payload from its place.
func TestUnknownDirectoryOfRoot(t *testing.T) {
	f, s := newUnprivileged(t, "true")
	unknown := filepath.Join(f.keeper.cfg.Dir, "unknown")
	if err := os.MkdirAll(filepath.Join(unknown, "of-root"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unknown, "of-root", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(unknown, nobody, -1); err != nil {
		t.Fatal(err)
	}
	asAgent(t, func() {
		f.restart()
		f.offer(s)
	})
	if o := f.outcome(s); o.State != payload.Stored {
		t.Errorf("%+v", o)
	}
	if _, err := os.Lstat(unknown); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// The operator learns of a withdrawal whatever the names of files are that stay.
func TestReasonOfAWithdrawal(t *testing.T) {
	f := newFixture(t)
	f.deliver(f.send(1, payload.Archive, tarOf(t, file("key", "x"))))
	for n := range wire.MaxPayloadReason + 8 {
		if _, err := f.keeper.withdrawn(f.keeper.held["db"], "db", strings.Repeat("a", n)+strings.Repeat("ä", 8)); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}
