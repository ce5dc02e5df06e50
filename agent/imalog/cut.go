package imalog

import (
	"bytes"
	"fmt"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// Prefix is a run of entries that starts at the acknowledged point.
type Prefix struct {
	First  uint64 // index of the first entry
	Count  uint64
	Bytes  []byte // of all of them; valid until the Log is used again
	Padded bool   // the replay is with padded SHA-1, see ima.State
}

// Rewind makes entry n the acknowledged point, and bank the one in which the
// list is replayed. Forward it drops what lies before; backward it reads the
// list again from the start; both end with a Read. The error is ErrBeyond if the
// list has fewer than n entries.
func (l *Log) Rewind(bank pcr.Bank, n uint64) error {
	if !bank.Known() {
		return fmt.Errorf("replay in bank %v, which is unknown", bank)
	}
	if n > l.reading {
		if err := l.Read(); err != nil {
			return err
		}
		if n > l.reading && !l.Full() {
			return fmt.Errorf("%w entry %d: it has %d", ErrBeyond, n, l.reading)
		}
	}
	switch {
	case l.state.Entries() == 0 && l.state.Bank() != bank:
		l.state = ima.NewState(bank)
	case l.state.Bank() != bank || n < l.state.Entries():
		l.Reset()
		l.state = ima.NewState(bank)
	}
	return l.forward(n)
}

// Pad has the list replayed with padded SHA-1, or no more so, up to the
// acknowledged point and beyond. Which of the two a kernel does can only be tried.
func (l *Log) Pad(padded bool) error {
	n, from := l.state.Entries(), ima.NewState(l.state.Bank())
	if n > 0 {
		l.Reset()
	}
	if l.state = from; padded {
		l.state = from.Pad()
	}
	return l.forward(n)
}

// forward moves the acknowledged point to entry n and reads on to the end. It
// drops as it goes, so that no more is kept than one Read takes in.
func (l *Log) forward(n uint64) error {
	for {
		if err := l.Read(); err != nil {
			return err
		}
		if l.state.Entries() == n {
			return nil
		}
		if l.Unacknowledged() == 0 {
			return fmt.Errorf("%w entry %d: it has %d", ErrBeyond, n, l.reading)
		}
		l.drop(n)
	}
}

// drop acknowledges whole entries up to entry n.
func (l *Log) drop(n uint64) {
	var at int
	for at < l.whole && l.state.Entries() < n {
		at += step(&l.state, l.pending[at:])
	}
	l.whole -= at
	if kept := l.pending[at:]; at > chunk {
		l.pending = bytes.Clone(kept) // let go of the large array
	} else {
		l.pending = append(l.pending[:0], kept...)
	}
}

// Cut finds the longest prefix whose replay certified accepts; certified gets
// what PCR 10 would be in the bank of the last Rewind. It is false if there is
// none.
func (l *Log) Cut(certified func(value []byte) bool) (Prefix, bool) {
	s, at := l.state, 0
	for !certified(s.PCR()) {
		if at == l.whole {
			return Prefix{}, false
		}
		at += step(&s, l.pending[at:])
	}
	for at < l.whole { // an entry for another PCR is certified by the same value
		e, n, _ := ima.ParseEntry(l.pending[at:])
		if e.PCR == pcr.IMA {
			break
		}
		s.Extend(e)
		at += n
	}
	return l.prefix(s.Entries(), at), true
}

// All returns everything that was read and not acknowledged. Malformed bytes at
// the end count as one entry: the verifier is to see them. An entry that is
// still being written is left out.
func (l *Log) All() Prefix {
	if l.malformed != nil {
		return l.prefix(l.reading+1, len(l.pending))
	}
	return l.prefix(l.reading, l.whole)
}

func (l *Log) prefix(to uint64, size int) Prefix {
	first := l.state.Entries()
	return Prefix{First: first, Count: to - first, Bytes: l.pending[:size:size], Padded: l.state.Padded()}
}

// step replays the entry at the start of b, which was parsed before, and returns
// its length.
func step(s *ima.State, b []byte) int {
	e, n, _ := ima.ParseEntry(b) // parse has seen it: no error
	s.Extend(e)
	return n
}
