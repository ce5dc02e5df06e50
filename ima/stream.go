package ima

import (
	"errors"
	"fmt"

	"quicklime/wire/pcr"
)

// Stream replays a list while it arrives in pieces of any size. It is an
// io.Writer; it keeps the bytes.
type Stream struct {
	replayed Replayed
	part     []byte // the last one
	parsed   int    // bytes of part that were replayed
}

// maxPart bounds a part of a list that comes in smaller pieces: the larger, the
// more is copied while it grows and left empty at the end; the smaller, the more
// entries are copied that reach from one into the next.
const maxPart = 256 << 10 // bytes

// NewStream starts a replay at a point.
func NewStream(from State) *Stream {
	return &Stream{replayed: Replayed{from: from, to: from}}
}

// Write takes the next bytes of the list. An error is ErrMalformed or ErrOtherPCR
// and final. Nothing covers an entry for another PCR, so that a list could hold
// any number of them.
func (s *Stream) Write(p []byte) (int, error) {
	s.keep(p)
	if err := s.replay(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// replay goes on to the end of the last whole entry.
func (s *Stream) replay() error {
	to := &s.replayed.to
	for s.parsed < len(s.part) {
		e, n, err := ParseEntry(s.part[s.parsed:])
		if errors.Is(err, ErrShort) {
			break
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", to.entries, err)
		}
		if e.PCR != pcr.IMA {
			return fmt.Errorf("entry %d: %w: PCR %d", to.entries, ErrOtherPCR, e.PCR)
		}
		to.Extend(e)
		s.parsed += n
	}
	return nil
}

// keep appends p to the last part, or if there is no room left to another one,
// which begins with the entry that the last one ends in.
func (s *Stream) keep(p []byte) {
	if len(s.part)+len(p) > cap(s.part) {
		rest := s.part[s.parsed:]
		size := max(len(rest)+len(p), min(2*cap(s.part), maxPart))
		s.closePart()
		s.part, s.parsed = append(make([]byte, 0, size), rest...), 0
	}
	s.part = append(s.part, p...)
}

// closePart adds what was replayed of the last part to the list.
func (s *Stream) closePart() {
	if s.parsed > 0 {
		s.replayed.parts = append(s.replayed.parts, s.part[:s.parsed:s.parsed])
	}
}

// Finish ends the list. The error is ErrShort if it ends inside an entry.
func (s *Stream) Finish() (Replayed, error) {
	if s.parsed != len(s.part) {
		return Replayed{}, fmt.Errorf("entry %d: %w", s.replayed.to.entries, ErrShort)
	}
	s.closePart()
	return s.replayed, nil
}
