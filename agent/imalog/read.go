package imalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"quicklime/ima"
)

// Read takes in what was appended since the last Read. An entry that is still
// being written is left for the next one. Bytes that are no entry end the list:
// see Malformed.
func (l *Log) Read() error {
	want, err := l.begin()
	if err != nil || l.file == nil {
		return err
	}
	for l.malformed == nil && !l.Full() {
		if l.kernel && l.reading >= want {
			return nil
		}
		n, err := l.readChunk()
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// begin opens the list if there is one and checks that it is still the one that
// was read. It returns how many entries a kernel's list has.
func (l *Log) begin() (want uint64, err error) {
	if l.kernel {
		if want, err = l.count.read(); err != nil {
			return 0, err
		}
		if want < l.reading {
			l.Reset()
			return 0, fmt.Errorf("%s: %w", l.path, ErrReplaced)
		}
	}
	if l.file == nil {
		l.file, err = openIfExists(l.path)
		return want, err
	}
	if l.kernel {
		return want, nil
	}
	return 0, l.checkSame()
}

// checkSame refuses a plain file that shrank, or that is not the one the path
// names any more.
func (l *Log) checkSame() error {
	open, err := l.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !os.SameFile(open, named) || named.Size() < l.offset {
		l.Reset()
		return fmt.Errorf("%s: %w", l.path, ErrReplaced)
	}
	return nil
}

// readChunk appends one answer of the file to what is pending, and parses it. It
// returns how many bytes came: 0 at the end, for now.
func (l *Log) readChunk() (int, error) {
	have := len(l.pending)
	l.pending = slices.Grow(l.pending, chunk)
	n, err := l.file.Read(l.pending[have : have+chunk])
	l.pending = l.pending[:have+n]
	l.offset += int64(n)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("read the measurement list: %w", err)
	}
	l.parse()
	return n, nil
}

// parse moves whole past the entries that are complete.
func (l *Log) parse() {
	for l.whole < len(l.pending) {
		e, n, err := ima.ParseEntry(l.pending[l.whole:])
		if errors.Is(err, ima.ErrShort) {
			return
		}
		if err != nil {
			l.malformed = fmt.Errorf("%s: entry %d: %w", l.path, l.reading, err)
			return
		}
		if l.reading == 0 {
			l.noteAggregate(e)
		}
		l.whole += n
		l.reading++
	}
}

// noteAggregate remembers the algorithm of a boot_aggregate.
func (l *Log) noteAggregate(e ima.Entry) {
	if ev, err := e.Event(); err == nil && string(ev.Name) == ima.BootAggregate {
		l.aggregate = ev.Algorithm
	}
}

// openIfExists returns nil if there is no such file.
func openIfExists(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}
