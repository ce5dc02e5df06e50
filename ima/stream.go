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
	parsed   int // bytes of replayed.list that were replayed
}

// NewStream starts a replay at a point.
func NewStream(from State) *Stream {
	return &Stream{replayed: Replayed{from: from, to: from}}
}

// Write takes the next bytes of the list. An error is ErrMalformed or ErrOtherPCR
// and final. Nothing covers an entry for another PCR, so that a list could hold
// any number of them.
func (s *Stream) Write(p []byte) (int, error) {
	r := &s.replayed
	r.list = appendDoubling(r.list, p)
	for s.parsed < len(r.list) {
		e, n, err := ParseEntry(r.list[s.parsed:])
		if errors.Is(err, ErrShort) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("entry %d: %w", r.to.entries, err)
		}
		if e.PCR != pcr.IMA {
			return 0, fmt.Errorf("entry %d: %w: PCR %d", r.to.entries, ErrOtherPCR, e.PCR)
		}
		r.to.Extend(e)
		s.parsed += n
	}
	return len(p), nil
}

// appendDoubling appends p to b. It doubles the room when there is none left: with
// append's smaller steps a long list is copied five times over.
func appendDoubling(b, p []byte) []byte {
	if need := len(b) + len(p); need > cap(b) {
		b = append(make([]byte, 0, max(need, 2*cap(b))), b...)
	}
	return append(b, p...)
}

// Finish ends the list. The error is ErrShort if it ends inside an entry.
func (s *Stream) Finish() (Replayed, error) {
	if s.parsed != len(s.replayed.list) {
		return Replayed{}, fmt.Errorf("entry %d: %w", s.replayed.to.entries, ErrShort)
	}
	return s.replayed, nil
}
