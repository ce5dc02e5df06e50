// Package keychain keeps which revocation key a machine goes by, and up to which notice
// under it: in the agent, and again in what acts on notices, which does not believe the
// agent.
//
// A machine begins with the key of its join token and follows successions, which it
// keeps, each as a value (see package keep) named by its number: the envelope in base64.
// So whoever else began with the same key can follow them as well.
package keychain

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quicklime/agent/keep"
	"quicklime/wire/notice"
)

// maxKept bounds the successions that are kept, as the verifier does: of one a year a
// lifetime's, of one a month five years'.
const maxKept = 64

// State is where a machine is.
type State struct {
	Last   uint64     // number of the last notice that was accepted
	Joined notice.Key // of the join token
	Pin    notice.Pin // what it has become
}

// ErrOtherKey says that the state is of another key than the join token's.
var ErrOtherKey = errors.New("the state is of another revocation key than the join token's")

// stateJSON is a State as it is kept. Numbers are of one key and its successors:
// another installation's begin anew.
type stateJSON struct {
	Last   uint64 `json:"last"`
	Key    string `json:"key"`              // of the join token; hexadecimal
	Now    string `json:"now,omitempty"`    // what has come in its place; hexadecimal
	Number uint64 `json:"number,omitempty"` // of the succession to it
}

// New is the state of a machine that just joined.
func New(joined notice.Key) State { return State{Joined: joined, Pin: notice.Pin{Key: joined}} }

// Read reads the state at a path for a machine that joined with a key; there may be
// none yet. A machine that joined again goes on if its key and the token's are the same,
// or a directory of successions leads from one to the other: with the key that it had come
// to, and never with one before. With ErrOtherKey the state is what was found.
func Read(path, dir string, joined notice.Key) (State, error) {
	kept, err := keep.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return New(joined), nil
	}
	if err != nil {
		return State{}, err
	}
	s, err := parse(kept)
	if err != nil {
		return State{}, fmt.Errorf("%s is not the number of the last notice: restore it, or remove it to begin anew: %w", path, err)
	}
	if joined != s.Joined && joined != s.Pin.Key && !leads(dir, s.Pin, joined) && !leads(dir, notice.Pin{Key: joined}, s.Pin.Key) {
		return s, ErrOtherKey
	}
	s.Joined = joined
	return s, nil
}

func parse(kept string) (s State, err error) {
	var j stateJSON
	if err := json.Unmarshal([]byte(kept), &j); err != nil {
		return s, err
	}
	if s.Joined, err = parseKey(j.Key); err != nil {
		return s, err
	}
	s.Last, s.Pin = j.Last, notice.Pin{Key: s.Joined, Number: j.Number}
	if j.Now != "" {
		s.Pin.Key, err = parseKey(j.Now)
	}
	return s, err
}

func parseKey(digits string) (notice.Key, error) {
	b, err := hex.DecodeString(digits)
	if err != nil {
		return notice.Key{}, err
	}
	return notice.ParseKey(b)
}

// Write keeps the state at a path.
func (s State) Write(path string) error {
	j := stateJSON{Last: s.Last, Key: hex.EncodeToString(s.Joined[:]), Number: s.Pin.Number}
	if s.Pin.Key != s.Joined {
		j.Now = hex.EncodeToString(s.Pin.Key[:])
	}
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return keep.Write(path, string(b))
}

// suffix ends the name of a succession; names are in the order of the numbers.
const suffix = ".succession"

// Add keeps a succession in a directory, which it makes. The oldest beyond maxKept goes.
func Add(dir string, number uint64, envelope []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := keep.Write(filepath.Join(dir, fmt.Sprintf("%020d%s", number, suffix)), base64.StdEncoding.EncodeToString(envelope)); err != nil {
		return err
	}
	names, err := list(dir)
	for len(names) > maxKept && err == nil {
		err, names = os.Remove(filepath.Join(dir, names[0])), names[1:]
	}
	return err
}

// list names the successions in a directory, the oldest first.
func list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Open opens a notice under a pin, or under the first that a directory of successions
// leads to from there and that signed it. It returns that pin. Who wrote the directory is
// not believed: each succession is checked.
func Open(dir string, pin notice.Pin, envelope []byte) (o notice.Opened, by notice.Pin, err error) {
	if o, err = notice.Open(envelope, pin.Key); err == nil {
		return o, pin, nil
	}
	names, listing := list(dir)
	if listing != nil {
		return o, pin, listing
	}
	for _, name := range names[max(0, len(names)-maxKept):] {
		next, ok := follow(filepath.Join(dir, name), pin)
		if !ok {
			continue
		}
		pin = next
		if o, err := notice.Open(envelope, pin.Key); err == nil {
			return o, pin, nil
		}
	}
	return o, pin, err
}

// leads reports whether a directory of successions leads from a pin to a key. Who wrote it
// is not believed either.
func leads(dir string, pin notice.Pin, to notice.Key) bool {
	names, err := list(dir)
	if err != nil {
		return false
	}
	for _, name := range names[max(0, len(names)-maxKept):] {
		if pin, _ = follow(filepath.Join(dir, name), pin); pin.Key == to {
			return true
		}
	}
	return false
}

// follow follows a kept succession, if it is one from this pin.
func follow(path string, pin notice.Pin) (notice.Pin, bool) {
	value, err := keep.Read(path)
	if err != nil {
		return pin, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		return pin, false
	}
	next, err := pin.Follow(b)
	return next, err == nil
}
