// Package pcr is the vocabulary of platform configuration registers: banks,
// indexes, selections and values, and how a PCR is extended.
//
// Specification: TCG TPM 2.0 Library, parts 1 (section 11.4) and 2 (sections
// 10.6, 10.9); TCG PC Client Platform TPM Profile 1.05, section 4.6.
//
// The package is pure: plain data in, plain data out.
package pcr

import (
	"crypto"
	"fmt"
)

// Values holds the PCR values that a selection names. The zero Values holds
// none. Values is immutable: its slices are never written after NewValues.
type Values struct {
	selection Selection
	digests   [][]byte // in the order of selection, ascending within a bank
}

// NewValues pairs a selection with the values of its PCRs, in the selection's
// order. It refuses another number of values than the selection names and a
// value whose length is not its bank's. It keeps digests.
func NewValues(s Selection, digests [][]byte) (Values, error) {
	if err := s.Check(); err != nil {
		return Values{}, err
	}
	if len(digests) != s.Len() {
		return Values{}, fmt.Errorf("%d PCR values for a selection of %d", len(digests), s.Len())
	}
	n := 0
	for _, e := range s {
		for i := range e.PCRs.All() {
			if len(digests[n]) != e.Bank.Size() {
				return Values{}, fmt.Errorf("PCR %d of bank %v has %d bytes, want %d", i, e.Bank, len(digests[n]), e.Bank.Size())
			}
			n++
		}
	}
	return Values{s, digests}, nil
}

// Selection returns which PCRs v holds.
func (v Values) Selection() Selection { return v.selection }

// Digests returns the values in the selection's order. Do not write to it.
func (v Values) Digests() [][]byte { return v.digests }

// Get returns the value of PCR i in bank b, or false if v does not hold it.
func (v Values) Get(b Bank, i int) ([]byte, bool) {
	n := 0
	for _, e := range v.selection {
		if e.Bank == b && e.PCRs.Has(i) {
			return v.digests[n+(e.PCRs&(1<<i-1)).Len()], true
		}
		n += e.PCRs.Len()
	}
	return nil, false
}

// Aggregate returns the concatenated values of PCRs first…last of bank b, or
// false if v does not hold them all.
func (v Values) Aggregate(b Bank, first, last int) ([]byte, bool) {
	var out []byte
	for i := first; i <= last; i++ {
		d, ok := v.Get(b, i)
		if !ok {
			return nil, false
		}
		out = append(out, d...)
	}
	return out, true
}

// Digest returns the pcrDigest of a quote over v: H(value ‖ …) with h, the hash
// of the quote's signing scheme (TPM 2.0 Library part 3, section 18.4).
func (v Values) Digest(h crypto.Hash) []byte {
	w := h.New()
	for _, d := range v.digests {
		w.Write(d)
	}
	return w.Sum(nil)
}

// In returns those of the values that are of bank b.
func (v Values) In(b Bank) Values {
	n := 0
	for _, e := range v.selection {
		if next := n + e.PCRs.Len(); e.Bank != b {
			n = next
		} else {
			return Values{Selection{e}, v.digests[n:next:next]}
		}
	}
	return Values{}
}
