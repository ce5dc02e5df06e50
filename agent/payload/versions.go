package payload

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"quicklime/agent/keep"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
)

// versions is which version of each name was opened last: in a directory a value (see
// package keep) for each name,
//
//	VERSION SHA-256 of the manifest's claims in hexadecimal
//
// One that is broken is an error and not none: what was opened is not to be forgotten.
type versions struct {
	dir  string
	last map[string]opened
}

// opened is a version that was opened.
type opened struct {
	Version  uint64 `json:"version"`
	Manifest string `json:"manifest"`
}

func (o opened) String() string { return fmt.Sprintf("%d %s", o.Version, o.Manifest) }

func parseOpened(value string) (o opened, err error) {
	version, manifest, _ := strings.Cut(value, " ")
	v, err := strconv.ParseUint(version, 10, 64)
	o = opened{v, manifest}
	if err != nil || v == 0 || o.String() != value || !wire.ValidID(manifest) {
		return o, fmt.Errorf("%.80q is no version with the digest of a manifest", value)
	}
	return o, nil
}

func openedOf(s payload.Signed) opened {
	d := s.Digest()
	return opened{s.Manifest().Version, hex.EncodeToString(d[:])}
}

func readVersions(dir string) (versions, error) {
	v := versions{dir, map[string]opened{}}
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return v, os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return v, err
	}
	for _, e := range names {
		if strings.HasPrefix(e.Name(), ".") {
			continue // a crash left it
		}
		value, err := keep.Read(filepath.Join(dir, e.Name()))
		if err == nil && !wire.ValidName(e.Name()) {
			err = errors.New("that is no name of a payload")
		}
		if err == nil {
			v.last[e.Name()], err = parseOpened(value)
		}
		if err != nil {
			return v, daemon.WithHint(fmt.Errorf("%s is broken: %w", filepath.Join(dir, e.Name()), err),
				"it keeps older payloads from being opened again; restore it, or remove it if that does not matter")
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
	err := keep.Write(filepath.Join(v.dir, name), v.last[name].String())
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
