// Package epoch tells one boot of a machine from another by what its TPM signed,
// never by what the machine says.
//
// An epoch is (AK Name, resetCount, restartCount, digest of the quoted boot
// PCRs). TPM2_Startup raises one of the counters and nothing lowers them but
// TPM2_Clear, which sets both to zero (TPM 2.0 Library part 2, section 10.11.1,
// TPMS_CLOCK_INFO; part 3, sections 9.3, TPM2_Startup, and 24.6, TPM2_Clear): so
// the pair, compared in that order, only grows (I14).
package epoch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"quicklime/verifier/quote"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// BootPCRs are the PCRs that the boot leaves as they are: firmware, boot loader,
// kernel. The kernel's boot_aggregate covers the same.
var BootPCRs = pcr.Range(0, 9)

// Epoch is one boot.
type Epoch struct {
	Counters wire.BootCounters
	Boot     [sha256.Size]byte // SHA-256 of the quoted BootPCRs in the bank of the list
	AKName   []byte
}

// Of returns the epoch that a quote shows, or false if it does not cover the boot
// PCRs of the bank.
func Of(q quote.Verified, bank pcr.Bank) (Epoch, bool) {
	values, ok := q.PCRs().Aggregate(bank, 0, 9)
	if !ok {
		return Epoch{}, false
	}
	return Epoch{q.Counters(), sha256.Sum256(values), q.AKName()}, true
}

// ID returns the SHA-256 of an unambiguous encoding of the epoch for one
// enrolment:
//
//	"quicklime-epoch-1" | enrolment u64 | resetCount u32 | restartCount u32 | Boot | AK Name
func (e Epoch) ID(enrolment int64) [sha256.Size]byte {
	b := []byte("quicklime-epoch-1")
	b = binary.BigEndian.AppendUint64(b, uint64(enrolment))
	b = binary.BigEndian.AppendUint32(b, e.Counters.Reset)
	b = binary.BigEndian.AppendUint32(b, e.Counters.Restart)
	b = append(b, e.Boot[:]...)
	return sha256.Sum256(append(b, e.AKName...))
}

// String is the counters and the beginning of the boot digest, for logs.
func (e Epoch) String() string {
	b := binary.BigEndian.AppendUint32(nil, e.Counters.Reset)
	b = binary.BigEndian.AppendUint32(b, e.Counters.Restart)
	return hex.EncodeToString(b) + "-" + hex.EncodeToString(e.Boot[:4])
}

// After reports whether e's counters are larger than those of another epoch of the
// same key.
func (e Epoch) After(other Epoch) bool {
	a, b := other.Counters, e.Counters
	return bytes.Equal(e.AKName, other.AKName) && (b.Reset > a.Reset || b.Reset == a.Reset && b.Restart > a.Restart)
}

// Step is how an epoch follows on another.
type Step int

// The steps.
const (
	Same     Step = iota // the same boot
	Restart              // resumed: restartCount grew
	Reset                // booted: resetCount grew
	Rollback             // went back, or the same counters with other contents
)

// Step returns how e follows on last.
func (e Epoch) Step(last Epoch) Step {
	a, b := last.Counters, e.Counters
	switch {
	case !bytes.Equal(e.AKName, last.AKName):
		return Rollback
	case b.Reset > a.Reset:
		return Reset
	case b.Reset < a.Reset || b.Restart < a.Restart:
		return Rollback
	case b.Restart > a.Restart:
		return Restart
	case e.Boot != last.Boot:
		return Rollback
	}
	return Same
}
