package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// Measurement is what measuring a file came to.
type Measurement struct {
	Index  uint64    `json:"index"` // of its entry in the list
	Digest string    `json:"digest"`
	Path   string    `json:"path"`          // as recorded; quoted as Go quotes it if it is not printable (I24)
	New    bool      `json:"new"`           // false: the same file with the same content was measured before
	Time   time.Time `json:"time,omitzero"` // when the entry was appended
}

// Measure records a file under the name as, or under its absolute path if as is
// empty. A name with other bytes than a path can have is refused. The error wraps
// ErrOutOfStep if the entry was appended and could not be extended.
func (m *Machine) Measure(ctx context.Context, path, as string) (Measurement, error) {
	if as == "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return Measurement{}, err
		}
		as = abs
	}
	if as == "" || len(as) >= maxPath || strings.ContainsRune(as, 0) {
		return Measurement{}, fmt.Errorf("the kernel has no path like %q", as)
	}
	as = strings.ReplaceAll(as, " ", "_")
	digest, err := hashFile(path)
	if err != nil {
		return Measurement{}, err
	}
	out := Measurement{Digest: "sha256:" + hex.EncodeToString(digest), Path: printable(as)}
	err = m.alone(ctx, func() error { return m.record(ima.NewFileEntry(pcr.SHA256, digest, as), &out) })
	return out, err
}

// maxPath is PATH_MAX, the final NUL included.
const maxPath = 4096 // bytes

// record appends and extends an entry that the list does not have yet.
func (m *Machine) record(e ima.Entry, out *Measurement) error {
	if err := m.checkBooted(); err != nil {
		return err
	}
	if i, ok := m.list.seen[string(e.Digest)]; ok {
		out.Index = i
		return nil
	}
	i, err := m.list.add(e)
	if err != nil {
		return err
	}
	out.Index, out.New, out.Time = i, true, time.Now()
	return m.extend(i, e)
}

// checkBooted refuses a machine without a list, or whose TPM was restarted since.
func (m *Machine) checkBooted() error {
	err := m.list.refresh()
	if errors.Is(err, fs.ErrNotExist) {
		return daemon.WithHint(errors.New("this machine has not booted"), "run %q first", program+" boot")
	}
	if err != nil {
		return err
	}
	reset, err := m.atReset(pcr.Of(pcr.IMA))
	if err == nil && reset {
		err = daemon.WithHint(errors.New("the TPM was restarted and this machine has not booted since"), "run %q first", program+" boot")
	}
	return err
}

func printable(path string) string {
	if wire.Printable(path, maxPath) {
		return path
	}
	return strconv.Quote(path)
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h.Sum(nil), nil
}
