package tpm

import (
	"encoding/binary"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/pcr"
)

// generated is TPM_GENERATED_VALUE: a restricted key signs bytes that begin with
// it only if the TPM made them (part 2, section 6.2).
const generated = 0xff544347

// AttestType is TPMI_ST_ATTEST (part 2, section 10.12.10).
type AttestType uint16

// The attestations read here.
const (
	AttestCertify AttestType = 0x8017
	AttestQuote   AttestType = 0x8018
)

// maxBanks bounds the banks of a quote: a TPM has at most one for each hash it
// knows, and none knows sixteen.
const maxBanks = 16

// Attest is a TPMS_ATTEST. Its slices are parts of the bytes it was parsed from.
type Attest struct {
	Type            AttestType
	QualifiedSigner []byte
	ExtraData       []byte
	Clock           uint64 // milliseconds
	Counters        wire.BootCounters
	Safe            bool // the clock did not go back
	Firmware        uint64

	Selection pcr.Selection // of a quote, as the TPM states it: a bank may be empty
	PCRDigest []byte        // of a quote

	Name          []byte // of the certified key
	QualifiedName []byte // of the certified key
}

// ParseAttest reads a TPMS_ATTEST (part 2, section 10.12.12) of a quote or a
// certification:
//
//	magic u32 | type u16 | qualifiedSigner 2B | extraData 2B |
//	clock u64 | resetCount u32 | restartCount u32 | safe u8 | firmwareVersion u64 | attested
//
// where 2B is size u16 | bytes, and attested is TPML_PCR_SELECTION | pcrDigest 2B
// or name 2B | qualifiedName 2B. Anything else is ErrMalformed.
func ParseAttest(b []byte) (Attest, error) {
	c := cursor{rest: b}
	magic := c.u32()
	a := Attest{Type: AttestType(c.u16())}
	if c.ok() && magic != generated {
		return Attest{}, fmt.Errorf("%w: attestation without TPM_GENERATED", ErrMalformed)
	}
	a.QualifiedSigner = c.sized()
	a.ExtraData = c.sized()
	a.Clock = c.u64()
	a.Counters = wire.BootCounters{Reset: c.u32(), Restart: c.u32()}
	safe := c.u8()
	a.Safe = safe == 1
	a.Firmware = c.u64()
	switch a.Type {
	case AttestQuote:
		a.Selection = c.selection()
		a.PCRDigest = c.sized()
	case AttestCertify:
		a.Name = c.sized()
		a.QualifiedName = c.sized()
	default:
		return Attest{}, fmt.Errorf("%w: attestation of type 0x%04x", ErrMalformed, uint16(a.Type))
	}
	if !c.done() || safe > 1 {
		return Attest{}, fmt.Errorf("%w: attestation", ErrMalformed)
	}
	return a, nil
}

// cursor reads from the front of rest. After its first failure every read
// returns nothing.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) ok() bool { return !c.failed }

// done reports whether every read succeeded and nothing is left.
func (c *cursor) done() bool { return !c.failed && len(c.rest) == 0 }

func (c *cursor) take(n int) []byte {
	if c.failed || n > len(c.rest) {
		c.failed = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized reads size u16 | bytes.
func (c *cursor) sized() []byte { return c.take(int(c.u16())) }

// selection reads TPML_PCR_SELECTION with three octets of select, as every PC
// Client TPM has (part 2, section 10.9.7).
func (c *cursor) selection() pcr.Selection {
	n := c.u32()
	if n > maxBanks {
		c.failed = true
	}
	var s pcr.Selection
	for range n {
		bank, size := pcr.Bank(c.u16()), c.u8()
		if size != 3 {
			c.failed = true
		}
		b := c.take(3)
		if c.failed {
			return nil
		}
		s = append(s, pcr.BankSet{Bank: bank, PCRs: pcr.Set(b[0]) | pcr.Set(b[1])<<8 | pcr.Set(b[2])<<16})
	}
	return s
}
