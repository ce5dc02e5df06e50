package ima

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"quicklime/ima/chain"
	"quicklime/wire/pcr"
)

// Batch are entries that follow one another in a list, with their digests. It is
// only valid during the call that shows it.
type Batch struct {
	First   uint64              // index of the first entry in the whole list
	Entries []Entry             // not more than 128
	Alike   bool                // known to be of one template, and no violations
	Sums    [][sha256.Size]byte // SHA-256 of what each entry's template hashes
}

// Visitor is shown the entries of a list while they are replayed, in order, and
// before anybody knows whether a quote covers them.
type Visitor interface{ Visit(Batch) }

// Finder is a Visitor that looks for sums in a table.
type Finder interface {
	Visitor

	// Near returns where the sums of entries of a template are looked for when they
	// are shown.
	Near(template []byte) chain.Near
}

// Replayed is a part of a list that was parsed and hashed from one point to
// another. It says what PCR 10 would be; only a quote says whether it is. The
// zero Replayed is an empty part of no list.
type Replayed struct {
	from, to State
	size     uint64
}

// From is the point before the first entry.
func (r *Replayed) From() State { return r.from }

// To is the point after the last entry.
func (r *Replayed) To() State { return r.to }

// Bank is the bank of the replay.
func (r *Replayed) Bank() pcr.Bank { return r.to.bank }

// GoesOnFrom reports whether the part begins at a point.
func (r *Replayed) GoesOnFrom(s *State) bool { return r.from == *s }

// Reaches reports whether PCR 10 has a value after the last entry.
func (r *Replayed) Reaches(value []byte) bool { return r.to.Has(value) }

// Empty reports whether nothing was measured up to the last entry: there is none in
// the whole list, or PCR 10 has its reset value.
func (r *Replayed) Empty() bool { return r.to.entries == 0 || r.to.AtReset() }

// Entries is the number of entries in the whole list, up to the last of the part.
func (r *Replayed) Entries() uint64 { return r.to.entries }

// Count is the number of entries in the part.
func (r *Replayed) Count() uint64 { return r.to.entries - r.from.entries }

// Size is the length of the part in bytes, as the kernel writes it.
func (r *Replayed) Size() uint64 { return r.size }

// Replay replays a part of a list from a point on. The error is ErrShort if the
// list ends inside an entry, ErrMalformed if it is none, with the index of the
// entry.
func Replay(from State, list []byte, visitors ...Visitor) (*Replayed, error) {
	s := NewStream(from, visitors...)
	if _, err := s.Write(list); err != nil {
		return nil, err
	}
	return s.Finish()
}

// Stream replays a list while it arrives in pieces of any size and shows it to
// visitors. It is an io.Writer. Of the list it keeps what has not come to a window
// yet, or the beginning of one entry. The first piece is replayed at once, however
// small: mostly it is all that is new of a list.
type Stream struct {
	replayed Replayed
	visitors []Visitor
	finder   Finder // one of them, or nil
	begun    bool   // a piece came
	rest     []byte // not replayed yet
	err      error  // final

	*room // while it replays
}

// room is what a batch needs. Streams share it, for most of them wait for more of
// their list most of the time.
type room struct {
	pcr     chain.Register // while the bank of SHA-256 is replayed; see together
	n       int            // entries of the batch
	alike   bool           // see Batch
	entries [batch]Entry
	hashed  [batch][]byte // data of the entries
	sums    [batch][sha256.Size]byte
	scratch [legacyHashed]byte
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// NewStream starts a replay at a point.
func NewStream(from State, visitors ...Visitor) *Stream {
	s := new(Stream)
	s.Begin(from, visitors...)
	return s
}

// Begin starts another replay.
func (s *Stream) Begin(from State, visitors ...Visitor) {
	*s = Stream{} // a literal with values would be made elsewhere first, and copied
	s.replayed.from, s.replayed.to, s.visitors = from, from, visitors
	for _, v := range visitors {
		if f, ok := v.(Finder); ok {
			s.finder = f
		}
	}
}

// Write takes the next bytes of the list. An error is ErrMalformed or ErrOtherPCR
// and final. Nothing covers an entry for another PCR, so that a list could hold
// any number of them.
func (s *Stream) Write(p []byte) (int, error) {
	b, first := p, !s.begun
	s.begun = true
	if len(s.rest) > 0 || len(p) < window && !first {
		s.rest = append(s.rest, p...)
		b = s.rest
	}
	if len(b) >= window || first {
		s.rest = append(s.rest[:0], b[s.replay(b):]...)
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// replay goes on to the end of the last whole entry in b, and returns its offset.
func (s *Stream) replay(b []byte) (parsed int) {
	s.enter()
	defer s.leave()
	r := s.room
	for parsed < len(b) {
		e := &r.entries[r.n]
		n, err := e.parse(b[parsed:])
		if err == nil && e.PCR != pcr.IMA {
			err = fmt.Errorf("%w: PCR %d", ErrOtherPCR, e.PCR)
		}
		if errors.Is(err, ErrShort) {
			break
		}
		if err != nil {
			s.err = fmt.Errorf("entry %d: %w", s.next(), err)
			break
		}
		r.alike = (r.n == 0 || r.alike && string(e.Template) == string(r.entries[0].Template)) && !isViolation(e.Digest)
		r.hashed[r.n] = e.Data
		r.n++
		if parsed += n; r.alike {
			parsed += r.parseAlike(b[parsed:])
		}
		if r.n == batch {
			s.flush()
		}
	}
	s.flush()
	s.replayed.size += uint64(parsed)
	return parsed
}

func (s *Stream) enter() {
	s.room = rooms.Get().(*room)
	s.n = 0 // a panic in the middle of a batch may have left it
	if s.together() {
		s.pcr.Set(s.replayed.to.sha256())
	}
}

func (s *Stream) leave() {
	if s.together() {
		*s.replayed.to.sha256() = s.pcr.Value()
	}
	rooms.Put(s.room)
	s.room = nil
}

// next is the index of the next entry.
func (s *Stream) next() uint64 { return s.replayed.to.entries + uint64(s.n) }

// flush hashes and shows the batch.
func (s *Stream) flush() {
	if s.n == 0 {
		return
	}
	b := Batch{First: s.replayed.to.entries, Entries: s.entries[:s.n], Sums: s.sums[:s.n], Alike: s.alike}
	s.extend()
	s.n = 0
	for _, v := range s.visitors {
		v.Visit(b)
	}
}

// Finish ends the list and returns what was replayed, which stays as it is until the stream
// is used again. The error is ErrShort if the list ends inside an entry, or what
// Write may return.
func (s *Stream) Finish() (*Replayed, error) {
	if len(s.rest) > 0 {
		s.rest = s.rest[s.replay(s.rest):]
	}
	if s.err == nil && len(s.rest) > 0 {
		s.err = fmt.Errorf("entry %d: %w", s.replayed.to.entries, ErrShort)
	}
	if s.err != nil {
		return nil, s.err
	}
	return &s.replayed, nil
}
