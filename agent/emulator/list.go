package emulator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"quicklime/ima"
)

const (
	listName    = "binary_runtime_measurements"
	countName   = "runtime_measurements_count"
	bootLogName = "binary_bios_measurements"
)

// list is the measurement list on disk, and what of it was read. It is used only
// while the machine's lock is held.
type list struct {
	dir  string
	file *os.File
	rest []byte            // read, and not a whole entry
	seen map[string]uint64 // template digest → index of its entry
	size uint64            // entries
}

func (l *list) path() string { return filepath.Join(l.dir, listName) }

// refresh reads what was appended since it was called last; all of it if the
// machine rebooted in between. The error wraps os.ErrNotExist if there is no list.
func (l *list) refresh() error {
	now, err := os.Stat(l.path())
	if err != nil {
		return err
	}
	if l.file != nil {
		if was, err := l.file.Stat(); err != nil || !os.SameFile(was, now) {
			l.close()
		}
	}
	if l.file == nil {
		f, err := os.OpenFile(l.path(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		*l = list{dir: l.dir, file: f, seen: make(map[string]uint64)}
	}
	return l.read()
}

func (l *list) read() error {
	more, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	l.rest = append(l.rest, more...)
	for len(l.rest) > 0 {
		e, n, err := ima.ParseEntry(l.rest)
		if err != nil {
			return fmt.Errorf("%s: entry %d: %w", l.path(), l.size, err)
		}
		l.note(e)
		l.rest = l.rest[n:]
	}
	return nil
}

func (l *list) note(e ima.Entry) {
	l.seen[string(e.Digest)] = l.size
	l.size++
}

// add appends an entry to the list, which must be fresh, and counts it.
func (l *list) add(e ima.Entry) (index uint64, err error) {
	index = l.size
	if _, err := l.file.Write(e.AppendTo(nil)); err != nil {
		return 0, fmt.Errorf("append to the list: %w", err)
	}
	l.note(e)
	return index, l.writeCount()
}

// writeCount overwrites the count in place: it only grows, so that whoever reads
// it sees a number.
func (l *list) writeCount() error {
	f, err := os.OpenFile(filepath.Join(l.dir, countName), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(formatCount(l.size), 0)
	return errors.Join(err, f.Close())
}

func formatCount(n uint64) []byte { return append(strconv.AppendUint(nil, n, 10), '\n') }

func (l *list) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// replace puts a file in the place of another, whole: whoever has the old one
// open keeps it, as after a reboot.
func replace(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
