package ima

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"iter"

	"quicklime/wire/pcr"
)

// State is a point in the replay of a list: so many entries, and the value of
// PCR 10 after them in one bank. It is all that a replay needs to go on.
type State struct {
	bank    pcr.Bank
	entries uint64
	value   [sha512.Size]byte
}

// NewState is the start of a list, with PCR 10 at its reset value: zero.
func NewState(bank pcr.Bank) State { return State{bank: bank} }

// ResumeState is the point after so many entries at which PCR 10 had value.
func ResumeState(bank pcr.Bank, entries uint64, value []byte) (State, error) {
	if !bank.Known() || len(value) != bank.Size() {
		return State{}, fmt.Errorf("resume after entry %d: a PCR of %d bytes in bank %v", entries, len(value), bank)
	}
	s := State{bank: bank, entries: entries}
	copy(s.value[:], value)
	return s, nil
}

// Bank is the bank of the replay.
func (s *State) Bank() pcr.Bank { return s.bank }

// Entries is how many entries came before this point.
func (s *State) Entries() uint64 { return s.entries }

// PCR returns the value of PCR 10 at this point: a copy.
func (s *State) PCR() []byte { return append([]byte(nil), s.value[:s.bank.Size()]...) }

// AtReset reports whether PCR 10 has its reset value.
func (s *State) AtReset() bool { return s.value == [sha512.Size]byte{} }

// Extend moves the point past e. An entry for another PCR counts as an entry and
// extends nothing. Extend allocates nothing.
func (s *State) Extend(e Entry) {
	s.entries++
	if e.PCR != pcr.IMA {
		return
	}
	var in [2 * sha512.Size]byte
	extended := append(in[:0], s.value[:s.bank.Size()]...)
	if e.Violation() {
		extended = append(extended, violation[:s.bank.Size()]...)
	} else {
		extended = appendSum(extended, s.bank, e.Data)
	}
	appendSum(s.value[:0], s.bank, extended)
}

// violation is what a violation extends every bank with: as many of these bytes
// as the bank's digest has (kernel: security/integrity/ima/ima_queue.c,
// ima_init_digests, used by ima_add_template_entry).
var violation = [sha512.Size]byte(bytes.Repeat([]byte{0xff}, sha512.Size))

// appendSum appends the bank's hash of b, without an allocation if there is room.
func appendSum(to []byte, bank pcr.Bank, b []byte) []byte {
	switch bank {
	case pcr.SHA1:
		h := sha1.Sum(b)
		return append(to, h[:]...)
	case pcr.SHA256:
		h := sha256.Sum256(b)
		return append(to, h[:]...)
	case pcr.SHA384:
		h := sha512.Sum384(b)
		return append(to, h[:]...)
	case pcr.SHA512:
		h := sha512.Sum512(b)
		return append(to, h[:]...)
	}
	return to
}

// Replayed is a part of a list that was parsed and hashed from one point to
// another. It says what PCR 10 would be; only a quote says whether it is. The
// zero Replayed is an empty part of no list.
type Replayed struct {
	from, to State
	parts    [][]byte // of whole entries, as they came
}

// From is the point before the first entry.
func (r Replayed) From() State { return r.from }

// To is the point after the last entry.
func (r Replayed) To() State { return r.to }

// Size is the length of the part in bytes.
func (r Replayed) Size() (n uint64) {
	for _, b := range r.parts {
		n += uint64(len(b))
	}
	return n
}

// All yields the index of each entry in the whole list, and the entry.
func (r Replayed) All() iter.Seq2[uint64, Entry] {
	return func(yield func(uint64, Entry) bool) {
		for i, b := range r.Raw() {
			if e, _, err := ParseEntry(b); err != nil || !yield(i, e) {
				return
			}
		}
	}
}

// Raw yields the index of each entry in the whole list, and its bytes.
func (r Replayed) Raw() iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		i := r.from.entries
		for _, b := range r.parts {
			for ; len(b) > 0; i++ {
				_, n, err := ParseEntry(b)
				if err != nil || !yield(i, b[:n:n]) { // the replay has parsed it once: err is nil
					return
				}
				b = b[n:]
			}
		}
	}
}

// Replay replays a part of a list from a point on. It keeps the list, which must
// not change while the Replayed is used. The error is ErrShort if the list ends
// inside an entry, ErrMalformed if it is none, with the index of the entry.
func Replay(from State, list []byte) (Replayed, error) {
	s := NewStream(from)
	s.part = list
	if err := s.replay(); err != nil {
		return Replayed{}, err
	}
	return s.Finish()
}
