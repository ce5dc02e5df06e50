// Package quote turns evidence that the AK signed into a quote that counts: over
// a nonce that lives, over exactly the PCRs that were asked for, with the values
// that hash to its pcrDigest. It is the only maker of Verified.
//
// The checks before, of signature, key and connection, are those of
// quicklime/wire/envelope, whose Opened it takes.
//
// Specification: TCG TPM 2.0 Library part 3, section 18.4 (TPM2_Quote).
package quote

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
)

var (
	// ErrNonce says that the evidence answers another nonce than the live one.
	ErrNonce = errors.New("the nonce is not the one that was issued")
	// ErrSelection says that the quote covers other PCRs than were asked for.
	// An inactive bank shows as an empty one: a TPM quotes it without complaint.
	ErrSelection = errors.New("the quote covers other PCRs than were asked for")
	// ErrValues says that the PCR values beside the quote are not those that it
	// covers.
	ErrValues = errors.New("the PCR values are not those that were quoted")
)

// Verified is a quote that counts. Only Verify fills one; the zero Verified
// covers no PCR.
type Verified struct {
	values   pcr.Values
	akName   []byte
	counters wire.BootCounters
	clock    uint64
	firmware uint64
}

// Verify checks an opened envelope against the nonce and the selection that the
// verifier issued, and pairs it with the PCR values that came beside it. The
// error is ErrNonce, ErrSelection or ErrValues.
func Verify(o envelope.Opened, nonce []byte, selection pcr.Selection, digests [][]byte) (Verified, error) {
	a := o.Attest()
	if len(nonce) != wire.NonceSize || subtle.ConstantTimeCompare(o.Payload().Nonce, nonce) != 1 {
		return Verified{}, ErrNonce
	}
	if err := selection.Check(); err != nil || len(selection) == 0 {
		return Verified{}, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	if !bytes.Equal(a.Selection.AppendTPM(nil), selection.AppendTPM(nil)) {
		return Verified{}, fmt.Errorf("%w: %x, want %x", ErrSelection, a.Selection.AppendTPM(nil), selection.AppendTPM(nil))
	}
	values, err := pcr.NewValues(selection, digests)
	if err != nil {
		return Verified{}, fmt.Errorf("%w: %w", ErrValues, err)
	}
	if !bytes.Equal(values.Digest(o.AK().SigningHash()), a.PCRDigest) {
		return Verified{}, ErrValues
	}
	return Verified{values, o.AK().Name(), a.Counters, a.Clock, a.Firmware}, nil
}

// PCRs returns the quoted values.
func (v Verified) PCRs() pcr.Values { return v.values }

// AKName returns the Name of the key that signed.
func (v Verified) AKName() []byte { return v.akName }

// Counters returns the TPM's reset and restart counts.
func (v Verified) Counters() wire.BootCounters { return v.counters }

// Clock returns the TPM's clock in milliseconds.
func (v Verified) Clock() uint64 { return v.clock }

// Firmware returns the TPM's firmware version.
func (v Verified) Firmware() uint64 { return v.firmware }
