// Package imalog watches and reads the kernel's binary measurement list while it
// grows. Package ima says what the list looks like; here is how its file behaves.
//
// On securityfs (Documentation/ABI/testing/ima_policy, security/integrity/ima/
// ima_fs.c) the list is rendered when it is read:
//
//   - one read answers with at most a page, whatever the buffer, and walks the
//     list to its place, so that reading it all is quadratic and even a read at
//     the end costs a walk;
//   - a descriptor that was read to the end delivers what is appended later; it
//     is kept open and never seeks;
//   - runtime_measurements_count beside it costs microseconds whatever the
//     length, and is what tells whether there is anything to read;
//   - inotify and poll report nothing; a probe of the function that appends does,
//     where the host grants one: see Event.
//
// Anywhere else, such as in the directory of an emulator, the list is a file
// that is appended to, perhaps in the middle of an entry when it is looked at,
// and replaced when the emulated machine reboots.
//
// A Log keeps the bytes that the verifier has not acknowledged and the replay
// up to there, so its memory is bounded by what is new. It parses structure
// only: no file name, however strange, stops it (I24).
package imalog

import (
	"errors"
	"os"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Bounds on what a Log holds.
const (
	// MaxUnacknowledged bounds the bytes kept for the verifier. The whole entries
	// in so many are more than it takes in one evidence: a list that was not read
	// to its end is never taken for one that does not replay.
	MaxUnacknowledged = wire.MaxList + 2*ima.MaxTemplateData // bytes

	// chunk is how much one read asks for. securityfs answers with a page.
	chunk = 64 << 10 // bytes
)

var (
	// ErrReplaced says that the list is not the one that was read before: it
	// shrank, vanished or is another file. The machine rebooted, or somebody
	// swapped the file. The Log has forgotten what it read.
	ErrReplaced = errors.New("the measurement list was replaced")

	// ErrBeyond says that the list has fewer entries than were asked for.
	ErrBeyond = errors.New("the measurement list ends before")
)

// Log is a measurement list that is read as it grows. It belongs to one
// goroutine.
type Log struct {
	path   string
	kernel bool // the list is on securityfs, and count leads it

	file    *os.File // nil: not opened yet, or there is no list
	count   *counter // of a kernel's list
	offset  int64    // bytes read from file
	reading uint64   // entries parsed, acknowledged ones included

	aggregate pcr.Bank
	state     ima.State // at the acknowledged point; of no bank before the first Rewind
	pending   []byte    // what was read after that point
	whole     int       // bytes of pending that are whole entries
	malformed error     // what pending[whole:] is, if it can be no entry
}

// New returns the log of the list at path. Nothing is opened before Read: a
// kernel without IMA has no list, which is a list without entries.
func New(path string) (*Log, error) {
	kernel, err := OnSecurityFS(path)
	if err != nil {
		return nil, err
	}
	return newLog(path, kernel), nil
}

func newLog(path string, kernel bool) *Log {
	return &Log{path: path, kernel: kernel, count: newCounter(path)}
}

// Close releases the descriptors.
func (l *Log) Close() error {
	l.Reset()
	return l.count.close()
}

// Reset forgets everything, so that the next Read starts at the first entry.
func (l *Log) Reset() {
	if l.file != nil {
		l.file.Close() // it was only read
	}
	*l = Log{path: l.path, kernel: l.kernel, count: l.count}
}

// Entries is how many whole entries have been read, acknowledged ones included.
func (l *Log) Entries() uint64 { return l.reading }

// Unacknowledged is how many whole entries have been read and not acknowledged.
func (l *Log) Unacknowledged() uint64 { return l.reading - l.state.Entries() }

// Aggregate is the bank in whose algorithm entry 0 records the boot, or 0 if
// there is no entry 0 or it is no boot_aggregate.
func (l *Log) Aggregate() pcr.Bank { return l.aggregate }

// Malformed says why the list could not be parsed to its end, or nil.
func (l *Log) Malformed() error { return l.malformed }

// Full reports whether the list has more that is not acknowledged than a
// verifier takes in one evidence. Read then reads no further.
func (l *Log) Full() bool { return len(l.pending) >= MaxUnacknowledged }
