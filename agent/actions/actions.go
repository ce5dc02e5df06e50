// Package actions runs what an administrator wants to be run when the verifier tells
// of another machine: every executable in a directory, for each notice in the agent's
// spool, in the order of their numbers.
//
// It is what "quicklime-agent run-actions" does, outside the agent's sandbox and as
// root, started by systemd when the spool is not empty. The agent is not believed:
// each notice is opened again with the key that was pinned when this ran first, and
// one whose number is not greater than that of the last one that was acted on is not
// acted on. So whoever takes over the agent can hold notices back and cannot make one
// up, and none is acted on twice but after a crash in the middle.
//
// An executable is run if it and the directory belong to root (or to whoever runs
// this) and nobody else may write them; another is refused, by name and reason, and
// keeps no other from running. It gets the event as one line of JSON on standard input
// (see Event), an environment of PATH and LANG alone, and "/" as its directory. It is
// killed, with all that it started, when its time is over, and of its output as much
// is kept as a log takes. How it ended is in the log and in the file outcomes.
package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quicklime/agent/keep"
	"quicklime/agent/keychain"
	"quicklime/agent/notices"
	"quicklime/wire/daemon"
	"quicklime/wire/notice"
)

// Config is what is run, and for which notices.
type Config struct {
	Dir     string     // of executables
	Spool   string     // of the agent, see quicklime/agent/notices
	State   string     // directory for what was done; nobody else may write it
	Key     notice.Key // pinned when the machine joined
	Keys    string     // directory of successions, see quicklime/agent/keychain
	AgentID string
	Timeout time.Duration // of one executable
	Linger  time.Duration // how long to wait for more before Run ends
	Log     *slog.Logger
}

// Outcome is how one executable ended for one event: a line of the file outcomes.
type Outcome struct {
	Event    string        `json:"event"` // its id
	Sequence uint64        `json:"sequence"`
	Action   string        `json:"action"` // file name
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took_ns"`
	Code     int           `json:"code"`              // exit code; -1: it has none
	Problem  string        `json:"problem,omitempty"` // why it was not run, or did not end by itself
	Output   string        `json:"output,omitempty"`  // the end of both outputs
}

// runner is one run.
type runner struct {
	cfg   Config
	state keychain.State // after the last notice that was acted on
}

// Run acts on every notice in the spool, until it is empty for a while or ctx ends. Actions
// that fail are no error.
func Run(ctx context.Context, cfg Config) error {
	r := &runner{cfg: cfg}
	if err := r.open(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		waiting, err := r.awaited(ctx)
		if err != nil || len(waiting) == 0 {
			return err
		}
		for _, name := range waiting {
			if err := r.file(ctx, filepath.Join(cfg.Spool, name)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// open makes the state directory and reads where it is.
func (r *runner) open() error {
	if err := os.MkdirAll(r.cfg.State, 0o700); err != nil {
		return err
	}
	if err := check(r.cfg.State); err != nil {
		return err
	}
	s, err := keychain.Read(r.stateFile(), r.cfg.Keys, r.cfg.Key)
	if errors.Is(err, keychain.ErrOtherKey) {
		return daemon.WithHint(errors.New("the agent's membership has another revocation key than when actions ran last"),
			"if this machine has joined another installation, or the verifier's key was lost and made anew, remove %s; else somebody has changed the membership", r.stateFile())
	}
	if err != nil {
		return err
	}
	r.state = s
	return r.state.Write(r.stateFile()) // pinned from now on
}

func (r *runner) stateFile() string { return filepath.Join(r.cfg.State, "state") }

// awaited is waiting, and if nothing is, what waits a little later.
func (r *runner) awaited(ctx context.Context) (names []string, err error) {
	if names, err = r.waiting(); err != nil || len(names) > 0 {
		return names, err
	}
	select {
	case <-time.After(r.cfg.Linger):
		return r.waiting()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// waiting lists the spool in the order of the numbers.
func (r *runner) waiting() (names []string, err error) {
	entries, err := os.ReadDir(r.cfg.Spool) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".notice") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// file acts on the notice in a file, and removes it. What is no notice, or not a new
// one, is only removed.
func (r *runner) file(ctx context.Context, name string) error {
	n, by, err := r.read(name)
	if err != nil {
		r.cfg.Log.Error("a file in the spool is not acted on", "file", name, "error", err)
		return os.Remove(name)
	}
	line, err := json.Marshal(EventOf(n, r.cfg.AgentID))
	if err != nil {
		return err
	}
	if err := r.all(ctx, n, append(line, '\n')); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // all of them again
	}
	r.state.Last, r.state.Pin = n.Sequence, by
	if err := r.state.Write(r.stateFile()); err != nil {
		return err
	}
	return os.Remove(name)
}

// read opens a notice of the spool, whose owner may have put anything there, and returns
// by which key it is. Those before that one sign nothing more that is acted on.
func (r *runner) read(name string) (n notice.Notice, by notice.Pin, err error) {
	value, err := keep.Read(name)
	if err != nil {
		return n, by, err
	}
	b, err := notices.Envelope(value)
	if err != nil {
		return n, by, err
	}
	o, by, err := keychain.Open(r.cfg.Keys, r.state.Pin, b)
	if err != nil {
		return n, by, err
	}
	if n = o.Notice(); n.Sequence <= r.state.Last {
		return n, by, fmt.Errorf("%w: it has number %d, and %d was acted on", notice.ErrReplayed, n.Sequence, r.state.Last)
	}
	return n, by, nil
}

// all runs every executable in lexical order.
func (r *runner) all(ctx context.Context, n notice.Notice, event []byte) error {
	entries, err := os.ReadDir(r.cfg.Dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := check(r.cfg.Dir); err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil || strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		o := r.one(ctx, filepath.Join(r.cfg.Dir, e.Name()), event)
		o.Event, o.Sequence, o.Action = n.ID, n.Sequence, e.Name()
		if err := r.keep(o); err != nil {
			return err
		}
	}
	return nil
}

// keep logs an outcome and appends it to the file outcomes.
func (r *runner) keep(o Outcome) error {
	say := r.cfg.Log.Info
	if o.Problem != "" || o.Code != 0 {
		say = r.cfg.Log.Error
	}
	say("action", "action", o.Action, "sequence", o.Sequence, "event", o.Event, "code", o.Code, "took", o.Took.String(), "problem", o.Problem, "output", o.Output)
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	file := filepath.Join(r.cfg.State, "outcomes")
	if st, err := os.Stat(file); err == nil && st.Size() > maxOutcomes {
		if err := os.Rename(file, file+".old"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
