package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/payload"
)

// A program in a payload is run outside the agent, by a Runner, if the administrator
// of the machine has allowed it. The two talk by files:
//
//	DIR/.run/NAME.json      from the agent: run this file of this version
//	DIR/.results/NAME.json  from the runner: what became of it
const (
	runDir     = ".run"
	resultsDir = ".results"
)

// Allowed says which files of which payloads are run: "NAME/PATH", or "*/PATH" for
// every payload, with white space between them.
type Allowed string

// Check refuses what is none.
func (a Allowed) Check() error {
	for _, one := range strings.Fields(string(a)) {
		name, path, ok := strings.Cut(one, "/")
		if !ok || name != "*" && !wire.ValidName(name) || path == "." || !filepath.IsLocal(path) || filepath.Clean(path) != path {
			return fmt.Errorf("%q is not NAME/PATH or */PATH", one)
		}
	}
	return nil
}

// of returns what is run of a payload. What names it goes before "*".
func (a Allowed) of(payload string) (path string, ok bool) {
	for _, one := range strings.Fields(string(a)) {
		name, p, _ := strings.Cut(one, "/")
		if name == payload {
			return p, true
		}
		if name == "*" && !ok {
			path, ok = p, true
		}
	}
	return path, ok
}

// request asks for a file to be run.
type request struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	File    string `json:"file"` // in the payload's directory
}

// result is what became of it.
type result struct {
	Version uint64    `json:"version"`
	Exit    int       `json:"exit_code"` // -1: killed
	At      time.Time `json:"ended_at"`
	Output  []byte    `json:"output"`
	Cut     bool      `json:"output_cut"`
}

// request asks for what may be run of a payload that has come to its place.
func (k *Keeper) request(name string, version uint64) {
	file, ok := k.cfg.Run.of(name)
	if !ok {
		return
	}
	if _, err := os.Lstat(filepath.Join(k.cfg.Dir, name, file)); errors.Is(err, fs.ErrNotExist) {
		return
	}
	b, err := json.Marshal(request{name, version, file})
	if err == nil {
		err = conf.ReplaceFile(filepath.Join(k.cfg.Dir, runDir, name+".json"), 0o600, b)
	}
	if err != nil {
		k.cfg.Log.Error("a program of a payload is not run", "payload", name, "error", err)
		return
	}
	k.cfg.Log.Info("a program of a payload is to be run", "payload", name, "version", version, "file", file)
}

// results tells the operator what became of programs that were run.
func (k *Keeper) results() {
	entries, err := os.ReadDir(filepath.Join(k.cfg.Dir, resultsDir))
	if err != nil {
		k.cfg.Log.Error("what became of programs cannot be read", "error", err)
		return
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue // it is being written
		}
		file := filepath.Join(k.cfg.Dir, resultsDir, e.Name())
		if err := k.result(name, file); err != nil {
			k.cfg.Log.Error("what became of a program cannot be told", "payload", name, "error", err)
		}
		os.Remove(file)
	}
}

// result makes a new receipt of a payload that is held.
func (k *Keeper) result(name, file string) error {
	b, err := readFile(file, maxResult)
	if err != nil {
		return err
	}
	var r result
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	h, ok := k.held[name]
	if !ok || h.Version != r.Version {
		return nil // it has been withdrawn or replaced meanwhile
	}
	o, err := payload.ReadReceipt(h.Receipt)
	if err != nil {
		return err
	}
	o.Run = &payload.Run{Exit: int64(r.Exit), At: uint64(r.At.Unix()), Output: r.Output, Cut: r.Cut}
	if n := len(r.Output) - payload.MaxOutput; n > 0 {
		o.Run.Output, o.Run.Cut = r.Output[n:], true
	}
	key, err := h.key()
	if err != nil {
		return err
	}
	if h.Receipt, err = key.Receipt(o); err != nil {
		return err
	}
	k.held[name] = h
	k.cfg.Log.Info("a program of a payload has ended", "payload", name, "version", r.Version, "exit", r.Exit)
	if k.reply != nil {
		k.say(wire.Receipt{Receipt: h.Receipt})
	}
	return h.write(k.cfg.Dir, name)
}
