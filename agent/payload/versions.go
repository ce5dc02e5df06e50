package payload

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
)

// versions is which version of each name was opened last, kept in a file:
//
//	{"NAME": {"version": N, "manifest": SHA-256 of its claims in hexadecimal}}
//
// A file that is broken is an error and not an empty one: what was opened is not to
// be forgotten.
type versions struct {
	file string
	last map[string]opened
}

// opened is a version that was opened.
type opened struct {
	Version  uint64 `json:"version"`
	Manifest string `json:"manifest"`
}

func openedOf(s payload.Signed) opened {
	d := s.Digest()
	return opened{s.Manifest().Version, hex.EncodeToString(d[:])}
}

func readVersions(file string) (versions, error) {
	v := versions{file, map[string]opened{}}
	b, err := readFile(file, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v.last); err != nil {
		return v, daemon.WithHint(fmt.Errorf("%s is broken: %w", file, err),
			"it keeps older payloads from being opened again; restore it, or remove it if that does not matter")
	}
	for name, o := range v.last {
		if !wire.ValidName(name) || o.Version == 0 {
			return v, daemon.WithHint(fmt.Errorf("%s is broken at %q", file, name), "restore it, or remove it if no older payload matters")
		}
	}
	return v, nil
}

// errOld says that a version was replaced by a newer one.
var errOld = errors.New("a newer version was opened before")

// check refuses a version that is older than one that was opened, and another
// manifest of the same version.
func (v versions) check(s payload.Signed) error {
	m, last := s.Manifest(), v.last[s.Manifest().Name]
	switch {
	case m.Version < last.Version:
		return fmt.Errorf("%w: version %d", errOld, last.Version)
	case m.Version == last.Version && openedOf(s) != last:
		return fmt.Errorf("version %d was opened before and was another", last.Version)
	case last.Version == 0 && len(v.last) >= maxNames:
		return fmt.Errorf("%d names of payloads are known, the most there may be", len(v.last))
	}
	return nil
}

// keep notes on disk that a version is opened, before it is.
func (v versions) keep(s payload.Signed) error {
	name := s.Manifest().Name
	before, there := v.last[name]
	if before == openedOf(s) {
		return nil
	}
	v.last[name] = openedOf(s)
	b, err := json.MarshalIndent(v.last, "", "  ")
	if err == nil {
		err = conf.ReplaceFile(v.file, 0o600, append(b, '\n'))
	}
	if err == nil {
		return nil
	}
	delete(v.last, name)
	if there {
		v.last[name] = before
	}
	return fmt.Errorf("the version cannot be kept: %w", err)
}

// readFile reads a file of at most max bytes.
func readFile(file string, max int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", file, max)
	}
	return b, err
}
