// Package notices takes the notices that the verifier sends of other machines. It
// checks each against the key that was pinned when the machine joined, keeps the
// number of the last one on disk before anybody acts on it (I28), and puts it into the
// spool, from which "quicklime-agent run-actions" takes it. It runs nothing (I02).
//
// The spool has a value (see package keep) for each notice, named by its number: the
// notice as it was signed, in base64. Who acts on it checks it again, and need not trust
// the agent. The spool is written only if there is a directory of actions.
//
// A notice is in the spool before its number is kept, so after a crash between the two
// it is taken again, under the same name: at least once.
package notices

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"quicklime/agent/keep"
	"quicklime/wire/notice"
)

// Config is whose notices are taken, and where they go.
type Config struct {
	Key     notice.Key // pinned
	AgentID string
	State   string // path of the value that is the number of the last notice
	Spool   string // directory
	Actions string // directory of actions; without it nothing is spooled
	Log     *slog.Logger
	Now     func() time.Time
}

// Taker takes notices. One goroutine at a time may use it.
type Taker struct {
	cfg  Config
	last uint64
}

// maxSpooled bounds the notices that wait for somebody to act on them: as many as the
// verifier sends a machine that was away.
const maxSpooled = 1000

// state is the value. Numbers are of one key: another installation's begin anew.
type state struct {
	Last uint64 `json:"last"`
	Key  string `json:"key"` // hexadecimal
}

// Open reads where the machine is. A state that cannot be read is an error, never the
// beginning: from there old notices would be taken again.
func Open(cfg Config) (*Taker, error) {
	t := &Taker{cfg: cfg}
	kept, err := keep.Read(cfg.State)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if json.Unmarshal([]byte(kept), &s) != nil {
		return nil, fmt.Errorf("%s is not the number of the last notice: restore it, or remove it to begin anew", cfg.State)
	}
	if s.Key != hex.EncodeToString(cfg.Key[:]) {
		cfg.Log.Warn("the machine has joined another installation: its notices begin anew", "last", s.Last)
		return t, nil
	}
	t.last = s.Last
	return t, nil
}

// Last returns the number of the last notice that was taken, 0 if there was none.
func (t *Taker) Last() uint64 { return t.last }

// Take takes a notice, and returns how many were missing before it. With an error it
// was not taken, and the next one will show that it is missing.
func (t *Taker) Take(envelope []byte) (missing uint64, err error) {
	o, err := notice.Open(envelope, t.cfg.Key)
	if err != nil {
		return 0, err
	}
	if missing, err = o.Follow(t.last, t.cfg.Now()); err != nil {
		return 0, err
	}
	n := o.Notice()
	if err := t.spool(n.Sequence, envelope); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	b, err := json.Marshal(state{n.Sequence, hex.EncodeToString(t.cfg.Key[:])})
	if err != nil {
		return 0, err
	}
	if err := keep.Write(t.cfg.State, string(b)); err != nil {
		return 0, err
	}
	t.last = n.Sequence
	t.log(n, missing)
	return missing, nil
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
