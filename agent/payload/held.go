package payload

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/payload"
)

// held is a payload that is in its place, as DIR/.held keeps it.
type held struct {
	opened
	Key     string `json:"receipt_key"` // hexadecimal
	Receipt []byte `json:"receipt"`     // the last one
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
		if err := wipe(filepath.Join(dir, name)); err != nil {
			return nil, err
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

// withdraw wipes a payload that is held, and tells the operator.
func (k *Keeper) withdraw(name, why string) {
	h := k.held[name]
	if err := wipe(filepath.Join(k.cfg.Dir, name)); err != nil {
		k.cfg.Log.Error("a payload cannot be wiped", "payload", name, "error", err)
		return
	}
	delete(k.held, name)
	if err := os.Remove(heldFile(k.cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Log.Error("what is known of a payload stays", "payload", name, "error", err)
	}
	k.cfg.Log.Info("a payload is wiped", "payload", name, "version", h.Version, "why", why)
	receipt, err := k.withdrawn(h, name, why)
	if err != nil {
		k.cfg.Log.Error("no receipt can be made", "payload", name, "error", err)
		return
	}
	k.say(wire.Receipt{Receipt: receipt})
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
	o := payload.Outcome{Name: name, Version: h.Version, State: payload.Withdrawn, At: uint64(k.cfg.Now().Unix()), Reason: why}
	copy(o.Manifest[:], d)
	return key.Receipt(o)
}
