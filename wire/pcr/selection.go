package pcr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
)

// Count is the number of PCRs of a PC Client TPM (PTP 1.05, section 4.6.1).
const Count = 24

// IMA is the PCR that the kernel's IMA extends by default
// (CONFIG_IMA_MEASURE_PCR_IDX).
const IMA = 10

// Systemd are the PCRs that systemd extends while the system runs, and keeps its own log
// of (systemd: docs/TPM2_PCR_MEASUREMENTS.md): the boot's phases, configuration, system
// extensions, and what makes the system the one it is.
const Systemd = Set(1<<11 | 1<<12 | 1<<13 | 1<<15)

// Set is a set of PCR indexes: bit i stands for PCR i.
type Set uint32

// Of returns the set of the given indexes; one outside 0…23 is left out.
func Of(indexes ...int) (s Set) {
	for _, i := range indexes {
		if i >= 0 && i < Count {
			s |= 1 << i
		}
	}
	return s
}

// Range returns the set of first…last, both included.
func Range(first, last int) (s Set) {
	for i := first; i <= last; i++ {
		s |= Of(i)
	}
	return s
}

// Has reports whether index i is in the set.
func (s Set) Has(i int) bool { return i >= 0 && i < Count && s&(1<<i) != 0 }

// Len is the number of indexes in the set.
func (s Set) Len() int { return bits.OnesCount32(uint32(s)) }

// All yields the indexes in ascending order, the order in which a quote hashes
// them.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range Count {
			if s.Has(i) && !yield(i) {
				return
			}
		}
	}
}

// BankSet is TPMS_PCR_SELECTION: PCRs of one bank.
type BankSet struct {
	_    struct{} `cbor:",toarray"`
	Bank Bank
	PCRs Set
}

// Selection is TPML_PCR_SELECTION: the PCRs of each bank, in the order in which
// a quote hashes their values.
type Selection []BankSet

// ErrSelection says that a selection is not one this project asks for.
var ErrSelection = errors.New("PCR selection is not valid")

// Check refuses a selection with an unknown bank, a bank named twice, an empty
// set or a PCR above 23.
func (s Selection) Check() error {
	var seen []Bank
	for _, e := range s {
		switch {
		case !e.Bank.Known():
			return fmt.Errorf("%w: bank 0x%04x is unknown", ErrSelection, uint16(e.Bank))
		case e.PCRs == 0 || e.PCRs>>Count != 0:
			return fmt.Errorf("%w: bank %v selects 0x%x", ErrSelection, e.Bank, uint32(e.PCRs))
		}
		for _, b := range seen {
			if b == e.Bank {
				return fmt.Errorf("%w: bank %v is named twice", ErrSelection, b)
			}
		}
		seen = append(seen, e.Bank)
	}
	return nil
}

// Len is the number of PCR values that the selection names.
func (s Selection) Len() (n int) {
	for _, e := range s {
		n += e.PCRs.Len()
	}
	return n
}

// AppendTPM appends the selection as TPML_PCR_SELECTION with three octets of
// select each (TPM 2.0 Library part 2, section 10.9.7):
//
//	count u32 | count × {hash u16 | sizeofSelect u8 = 3 | select [3]byte, bit 0 first}
func (s Selection) AppendTPM(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	for _, e := range s {
		b = binary.BigEndian.AppendUint16(b, uint16(e.Bank))
		b = append(b, 3, byte(e.PCRs), byte(e.PCRs>>8), byte(e.PCRs>>16))
	}
	return b
}
