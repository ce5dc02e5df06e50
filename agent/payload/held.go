package payload

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/payload"
)

// held is a payload that is in its place, as DIR/.held keeps it, or one that was withdrawn,
// of whose receipt nobody knows whether it has arrived.
type held struct {
	opened
	Key     string `json:"receipt_key,omitempty"` // hexadecimal; of one that was withdrawn: none
	Receipt []byte `json:"receipt"`               // the last one
}

func heldFile(dir, name string) string { return filepath.Join(dir, heldDir, name+".json") }

func (h held) write(dir, name string) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(heldFile(dir, name), 0o600, b)
}

// readHeld returns what is in its place. What cannot be understood is wiped: the
// verifier offers it again.
func readHeld(dir string, log *slog.Logger) (map[string]held, error) {
	all := map[string]held{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		h, err := readOneHeld(dir, name)
		if err == nil {
			all[name] = h
			continue
		}
		log.Warn("a payload of which nothing is known is wiped", "payload", name, "error", err)
		if err := takeAway(dir, name); err != nil {
			if _, there := os.Lstat(filepath.Join(dir, name)); there == nil {
				return nil, err
			}
			log.Error("not all of it is wiped", "payload", name, "error", err)
		}
	}
	return all, nil
}

func readOneHeld(dir, name string) (h held, err error) {
	if !wire.ValidName(name) {
		return h, errors.New("not the name of a payload")
	}
	b, err := readFile(heldFile(dir, name), maxResult)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, err
	}
	_, err = h.key()
	return h, err
}

func (h held) key() (k payload.ReceiptKey, err error) {
	b, err := hex.DecodeString(h.Key)
	if err == nil && len(b) != len(k) {
		err = errors.New("a receipt key of another length")
	}
	copy(k[:], b)
	return k, err
}

// takeAway takes a payload from its place in one step, and wipes it then. The error is of
// either: after one of wiping its name is gone, and what is left is in the stage.
func takeAway(dir, name string) error {
	away, err := os.MkdirTemp(filepath.Join(dir, stageDir), "")
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(away, name)); err != nil {
		return errors.Join(err, os.Remove(away))
	}
	return wipe(away)
}

// withdraw takes a payload that is held away, and tells the operator.
func (k *Keeper) withdraw(name, why string) {
	h := k.held[name]
	if err := takeAway(k.cfg.Dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if _, there := os.Lstat(filepath.Join(k.cfg.Dir, name)); there == nil {
			k.cfg.Log.Error("a payload cannot be taken away", "payload", name, "error", err)
			return
		}
		k.cfg.Log.Error("a payload is taken away, and not all of it is wiped", "payload", name, "error", err)
		why += "; what a program left of another user's is not wiped yet: " + words(err)
		k.unwiped = true
	}
	os.Remove(filepath.Join(k.cfg.Dir, runDir, name+".json")) // nobody is to run it any more
	delete(k.held, name)
	k.cfg.Log.Info("a payload is wiped", "payload", name, "version", h.Version, "why", why)
	receipt, err := k.withdrawn(h, name, why)
	if err != nil {
		k.cfg.Log.Error("no receipt can be made", "payload", name, "error", err)
		k.forget(name)
		return
	}
	k.gone[name] = held{opened: h.opened, Receipt: receipt}
	if err := k.gone[name].write(k.cfg.Dir, name); err != nil {
		k.cfg.Log.Error("that a payload was withdrawn will be forgotten by the next start", "payload", name, "error", err)
	}
	if len(k.gone) > maxGone {
		k.forget(slices.Sorted(maps.Keys(k.gone))[0])
	}
	k.say(wire.Receipt{Receipt: receipt})
}

// forget forgets a payload that was withdrawn.
func (k *Keeper) forget(name string) {
	delete(k.gone, name)
	if err := os.Remove(heldFile(k.cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Log.Error("what is known of a payload stays", "payload", name, "error", err)
	}
}

// sayGone says again what was withdrawn and is not offered, for the session over which it
// was said may have ended before it arrived.
func (k *Keeper) sayGone(offered map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(k.gone)) {
		if offered[name] {
			k.forget(name)
			continue
		}
		k.say(wire.Receipt{Receipt: k.gone[name].Receipt})
	}
}

// readGone returns what was withdrawn before.
func readGone(dir string) (map[string]held, error) {
	gone := map[string]held{}
	entries, err := os.ReadDir(filepath.Join(dir, heldDir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if _, err := os.Lstat(filepath.Join(dir, name)); !ok || !wire.ValidName(name) || err == nil {
			continue
		}
		var h held
		b, err := readFile(heldFile(dir, name), maxResult)
		if err != nil || json.Unmarshal(b, &h) != nil || h.Key != "" || len(h.Receipt) == 0 {
			continue
		}
		gone[name] = h
	}
	return gone, nil
}

func (k *Keeper) withdrawn(h held, name, why string) ([]byte, error) {
	key, err := h.key()
	if err != nil {
		return nil, err
	}
	d, err := hex.DecodeString(h.Manifest)
	if err != nil {
		return nil, err
	}
	o := payload.Outcome{Name: name, Version: h.Version, State: payload.Withdrawn, At: uint64(k.cfg.Now().Unix()), Reason: words(errors.New(why))}
	copy(o.Manifest[:], d)
	return key.Receipt(o)
}
