// Package notices takes the notices that the verifier sends of other machines. It
// checks each against the key that was pinned when the machine joined, or that has come
// in that one's place since, keeps the number of the last one on disk before anybody acts
// on it (I28), and puts it into the spool, from which "quicklime-agent run-actions" takes
// it. It runs nothing (I02).
//
// The spool has a value (see package keep) for each notice, named by its number: the
// notice as it was signed, in base64. Who acts on it checks it again, and need not trust
// the agent. The spool is written only if there is a directory of actions. The successions
// of keys (package keychain) are kept for the same reader, whether or not there is one.
//
// A notice is in the spool before its number is kept, so after a crash between the two
// it is taken again, under the same name: at least once.
//
// A notice that is refused because of the time, or because it cannot be kept, may be
// accepted later. Until then none after it is, for the verifier sends it again.
package notices

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"quicklime/agent/keep"
	"quicklime/agent/keychain"
	"quicklime/wire"
	"quicklime/wire/notice"
)

// Config is whose notices are taken, and where they go.
type Config struct {
	Key     notice.Key // pinned when the machine joined
	AgentID string
	State   string // path of the value that is the number of the last notice
	Keys    string // directory of the successions that were taken
	Spool   string // directory
	Actions string // directory of actions; without it nothing is spooled
	Log     *slog.Logger
	Now     func() time.Time
}

// Taker takes notices. One goroutine at a time may use it.
type Taker struct {
	cfg     Config
	state   keychain.State
	waiting uint64             // number of the first notice that is refused until a reason passes; 0: none is
	said    wire.NoticeRefusal // what the log was told last; "": nothing since a notice was accepted
}

// maxSpooled bounds the notices that wait for somebody to act on them: as many as the
// verifier sends a machine that was away.
const maxSpooled = 1000

// Open reads where the machine is. A state that cannot be read is an error, never the
// beginning: from there old notices would be taken again.
func Open(cfg Config) (*Taker, error) {
	state, err := keychain.Read(cfg.State, cfg.Keys, cfg.Key)
	if errors.Is(err, keychain.ErrOtherKey) {
		cfg.Log.Warn("the machine has joined another installation: its notices begin anew", "last", state.Last)
		state, err = keychain.New(cfg.Key), nil
	}
	return &Taker{cfg: cfg, state: state}, err
}

// Begin returns what is said at the beginning of a session: which notices are asked for.
func (t *Taker) Begin() wire.Noticed {
	t.waiting = 0 // they come from the last one on, whatever was under way
	return t.answer()
}

func (t *Taker) answer() wire.Noticed {
	return wire.Noticed{Last: t.state.Last, Key: t.state.Pin.Key.ID()}
}

// Take takes a notice, or a succession, and returns what the verifier is told. What is
// refused changes nothing.
func (t *Taker) Take(envelope []byte) wire.Noticed {
	if from, ok := notice.SuccessionFrom(envelope); ok {
		return t.succeed(envelope, from)
	}
	o, err := notice.Open(envelope, t.state.Pin.Key)
	if err != nil {
		return t.refuse(wire.RefusedKey, err)
	}
	missing, err := t.accept(o, envelope)
	switch {
	case errors.Is(err, errWaiting):
		a := t.answer()
		a.Refused = t.said
		return t.clock(a)
	case errors.Is(err, notice.ErrReplayed):
		t.cfg.Log.Error("a notice was not taken", "error", err)
		return t.answer()
	case errors.Is(err, notice.ErrUntimely):
		t.waiting = o.First()
		return t.refuse(wire.RefusedClock, err)
	case err != nil:
		t.waiting = o.First()
		return t.refuse(wire.RefusedStorage, err)
	}
	if t.said != "" {
		t.cfg.Log.Info("notices are taken again", "sequence", t.state.Last)
	}
	t.waiting, t.said = 0, ""
	t.log(o.Notice(), missing)
	a := t.answer()
	a.Missing = missing
	return a
}

// errWaiting says that a notice before this one is to come first.
var errWaiting = errors.New("a notice before this one is still to be accepted")

// accept checks a notice, spools it and keeps its number.
func (t *Taker) accept(o notice.Opened, envelope []byte) (missing uint64, err error) {
	if t.waiting > 0 && o.First() > t.waiting {
		return 0, errWaiting
	}
	if missing, err = o.Follow(t.state.Last, t.cfg.Now()); err != nil {
		return 0, err
	}
	if err := t.spool(o.Notice().Sequence, envelope); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	next := t.state
	next.Last = o.Notice().Sequence
	if err := next.Write(t.cfg.State); err != nil {
		return 0, err
	}
	t.state = next
	return missing, nil
}

// refuse says why a notice was not taken: to the log once, until another reason or a
// notice that is.
func (t *Taker) refuse(why wire.NoticeRefusal, err error) wire.Noticed {
	if t.said != why {
		t.said = why
		t.cfg.Log.Error("notices are not taken", "error", err, "do", remedy[why])
	}
	a := t.answer()
	a.Refused = why
	return t.clock(a)
}

// remedy says what to do about a refusal.
var remedy = map[wire.NoticeRefusal]string{
	wire.RefusedClock:   "compare this machine's clock with the verifier's and set it (chronyc tracking, timedatectl); the notices then come again within a minute",
	wire.RefusedKey:     "if the verifier's revocation key was lost and made anew, join again with a new token; else look who sends them",
	wire.RefusedStorage: "see that the state directory can be written; the notices then come again within a minute",
}

// clock adds what the clock says to a refusal that is because of it.
func (t *Taker) clock(a wire.Noticed) wire.Noticed {
	if now := t.cfg.Now().Unix(); a.Refused == wire.RefusedClock && now > 0 {
		a.Clock = uint64(now)
	}
	return a
}

// succeed goes over to the key that a succession names. One from another key than the
// machine's is no concern of it: it has come from there already, or joined later.
func (t *Taker) succeed(envelope []byte, from string) wire.Noticed {
	if from != t.state.Pin.Key.ID() {
		return t.answer()
	}
	next := t.state
	pin, err := next.Pin.Follow(envelope)
	if err != nil {
		return t.refuse(wire.RefusedKey, err)
	}
	next.Pin = pin
	if err = keychain.Add(t.cfg.Keys, pin.Number, envelope); err == nil {
		err = next.Write(t.cfg.State)
	}
	if err != nil {
		return t.refuse(wire.RefusedStorage, err)
	}
	t.cfg.Log.Warn("the verifier has another revocation key from now on", "number", pin.Number, "was", from[:12], "is", pin.Key.ID()[:12])
	t.state = next
	return t.answer()
}

func (t *Taker) log(n notice.Notice, missing uint64) {
	log := t.cfg.Log.With("sequence", n.Sequence)
	if missing > 0 {
		log.Error("notices of other machines are missing", "missing", missing)
	}
	if n.Kind == notice.Dropped {
		log.Error("the verifier dropped notices of other machines that this one was away too long for", "dropped", n.Dropped)
		return
	}
	log.Warn("a notice of the verifier", "kind", n.Kind, "subject", n.Subject[:12], "label", n.Label, "this_machine", n.Subject == t.cfg.AgentID,
		"trust", n.Trust, "failure", n.Failure, "severity", n.Severity, "at", n.At)
}

// spool writes the notice for who acts on it, if anybody does.
func (t *Taker) spool(number uint64, envelope []byte) error {
	if _, err := os.Stat(t.cfg.Actions); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(t.cfg.Spool, 0o700); err != nil {
		return err
	}
	waiting, err := os.ReadDir(t.cfg.Spool)
	if err != nil {
		return err
	}
	if len(waiting) >= maxSpooled {
		oldest := filepath.Join(t.cfg.Spool, waiting[0].Name())
		t.cfg.Log.Error("nobody acts on notices: the oldest is dropped", "waiting", len(waiting), "dropped", oldest, "run", "systemctl status quicklime-actions.path")
		if err := os.Remove(oldest); err != nil {
			return err
		}
	}
	path, value := filepath.Join(t.cfg.Spool, Name(number)), base64.StdEncoding.EncodeToString(envelope)
	if err = keep.Create(path, value); errors.Is(err, fs.ErrExist) { // from before a crash, or of another installation
		err = errors.Join(os.Remove(path), keep.Create(path, value))
	}
	return err
}

// Envelope returns the notice that a value of the spool is.
func Envelope(value string) ([]byte, error) { return base64.StdEncoding.Strict().DecodeString(value) }

// Name is the name of a notice in the spool: in the order of their names is in
// the order of their numbers.
func Name(number uint64) string { return fmt.Sprintf("%020d.notice", number) }
