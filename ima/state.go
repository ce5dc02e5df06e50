package ima

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"quicklime/wire/pcr"
)

// State is a point in the replay of a list: so many entries, and the value of
// PCR 10 after them in one bank. It is all that a replay needs to go on.
type State struct {
	bank    pcr.Bank
	padded  bool
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

// Pad has what follows replayed as a kernel writes it that does not have the bank's
// hash: it extends the bank with the SHA-1 of what the template hashes, filled up
// with zeros (kernel: security/integrity/ima/ima_crypto.c,
// ima_calc_field_array_hash; before 5.8 all of them). In the bank of SHA-1 that is
// the same.
func (s State) Pad() State {
	s.padded = s.bank != pcr.SHA1
	return s
}

// Padded reports whether the bank is replayed with padded SHA-1, so that it proves
// no more than SHA-1 does (I16).
func (s *State) Padded() bool { return s.padded }

// Bank is the bank of the replay.
func (s *State) Bank() pcr.Bank { return s.bank }

// Entries is how many entries came before this point.
func (s *State) Entries() uint64 { return s.entries }

// PCR returns the value of PCR 10 at this point: a copy.
func (s *State) PCR() []byte { return append([]byte(nil), s.value[:s.bank.Size()]...) }

// Has reports whether PCR 10 has a value at this point.
func (s *State) Has(value []byte) bool { return string(s.value[:s.bank.Size()]) == string(value) }

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
	var scratch [legacyHashed]byte
	size := s.bank.Size()
	extended := append(in[:0], s.value[:size]...)
	switch {
	case e.Violation():
		extended = append(extended, violation[:size]...)
	case s.padded:
		extended = appendSum(extended, pcr.SHA1, e.hashed(&scratch))[:2*size]
	default:
		extended = appendSum(extended, s.bank, e.hashed(&scratch))
	}
	appendSum(s.value[:0], s.bank, extended)
}

// sha256 is the value in the bank of SHA-256.
func (s *State) sha256() *[sha256.Size]byte { return (*[sha256.Size]byte)(s.value[:]) }

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
