package tenant

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quicklime/wire/conf"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// maxSentFile bounds what is remembered of a payload: some 300 bytes.
const maxSentFile = 4 << 10 // bytes

// sentFile is what is remembered of a version of a payload that was sent from here: how
// its receipts are checked, and nothing that opens it. Of a payload two are kept: of the
// version that was sent last (NAME.json), and of one that is being sent, or could not be
// (NAME~.json, which is no name), for the machine has the one before until it is there.
type sentFile struct {
	Version  uint64    `json:"version"`
	Manifest string    `json:"manifest"`    // SHA-256 of its claims, hexadecimal
	Key      string    `json:"receipt_key"` // hexadecimal
	SentAt   time.Time `json:"sent_at"`
}

func (c Config) sentName(agent, name string) string {
	return filepath.Join(c.PayloadDir, "sent", agent, name+".json")
}

func (c Config) sendingName(agent, name string) string { return c.sentName(agent, name+"~") }

// sending keeps how receipts of a version are checked, before it is sent.
func (c Config) sending(agent, name string, f sentFile) error {
	file := c.sendingName(agent, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return f.write(file)
}

// sent has a version take the place of what was sent before. Of two that are sent at
// once the greater stays.
func (c Config) sent(agent, name string, f sentFile) error {
	before, err := readSent(c.sentName(agent, name))
	if err != nil || before != nil && before.Version > f.Version {
		return err
	}
	if err := f.write(c.sentName(agent, name)); err != nil {
		return err
	}
	other, err := readSent(c.sendingName(agent, name))
	if err != nil || other == nil || other.Version != f.Version {
		return err
	}
	return os.Remove(c.sendingName(agent, name))
}

func (f sentFile) write(file string) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(file, 0o600, append(b, '\n'))
}

// readSent is nil if the file is not there.
func readSent(file string) (*sentFile, error) {
	b, err := conf.ReadSecret(file, maxSentFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := new(sentFile)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return f, nil
}

// remembered is what is kept of a payload; none: it was not sent from here.
func (c Config) remembered(agent, name string) (kept []sentFile, err error) {
	for _, file := range []string{c.sentName(agent, name), c.sendingName(agent, name)} {
		f, err := readSent(file)
		if err != nil {
			return nil, err
		}
		if f != nil {
			kept = append(kept, *f)
		}
	}
	return kept, nil
}

// A receipt is what the machine says became of a payload, and what to think of it.
type receipt struct {
	outcome payload.Outcome
	checked bool   // the machine that opened this very version says so
	doubt   string // why it is not checked
}

// receipt reads the receipt that the verifier has of a payload. It returns false if
// there is none.
func (c Config) receipt(agent string, p rest.Payload) (r receipt, ok bool, err error) {
	if len(p.Receipt) == 0 {
		return r, false, nil
	}
	kept, err := c.remembered(agent, p.Name)
	if err != nil {
		return r, false, err
	}
	i := slices.IndexFunc(kept, func(f sentFile) bool { return f.Version == p.Version })
	if i < 0 {
		r.outcome, err = payload.ReadReceipt(p.Receipt)
		r.doubt = "not checked: this version was not sent from here"
		return r, err == nil, err
	}
	f := kept[i]
	key, err := hex.DecodeString(f.Key)
	if err != nil || len(key) != payload.ShareSize {
		return r, false, fmt.Errorf("%s has no receipt key", c.sentName(agent, p.Name))
	}
	r.outcome, err = payload.ReceiptKey(key).Verify(p.Receipt)
	if err == nil && (hex.EncodeToString(r.outcome.Manifest[:]) != f.Manifest || r.outcome.Version != f.Version || r.outcome.Name != p.Name) {
		err = fmt.Errorf("%w: it is about another version", payload.ErrInvalid)
	}
	if errors.Is(err, payload.ErrInvalid) {
		r.doubt = "FORGED: " + err.Error()
		return r, true, nil
	}
	r.checked = true
	return r, true, err
}
