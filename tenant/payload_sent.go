package tenant

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"quicklime/wire/conf"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// maxSentFile bounds what is remembered of a payload: some 300 bytes.
const maxSentFile = 4 << 10 // bytes

// sentFile is what is remembered of the newest version of a payload that was sent
// from here: how its receipts are checked, and nothing that opens it.
type sentFile struct {
	Version  uint64    `json:"version"`
	Manifest string    `json:"manifest"`    // SHA-256 of its claims, hexadecimal
	Key      string    `json:"receipt_key"` // hexadecimal
	SentAt   time.Time `json:"sent_at"`
}

func (c Config) sentName(agent, name string) string {
	return filepath.Join(c.PayloadDir, "sent", agent, name+".json")
}

// remember keeps how receipts of a version are checked, before it is sent.
func (c Config) remember(agent, name string, f sentFile) error {
	file := c.sentName(agent, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(file, 0o600, append(b, '\n'))
}

// remembered is what remember kept; nil: it was not sent from here.
func (c Config) remembered(agent, name string) (*sentFile, error) {
	file := c.sentName(agent, name)
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
	f, err := c.remembered(agent, p.Name)
	if err != nil {
		return r, false, err
	}
	if f == nil || f.Version != p.Version {
		r.outcome, err = payload.ReadReceipt(p.Receipt)
		r.doubt = "not checked: this version was not sent from here"
		return r, err == nil, err
	}
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
