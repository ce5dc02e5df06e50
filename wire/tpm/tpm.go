// Package tpm reads the TPM structures that travel between the programs: public
// areas, attestations and signatures. Parsing is strict: every structure has one
// encoding, no byte may follow it, and what it says of itself (a Name, a key, an
// id) is derived here and never received beside it (I01).
//
// Specification: TCG TPM 2.0 Library, revision 1.59, part 1 (section 16, Names,
// and 26.5, Qualified Name) and part 2 (structures); all integers are big-endian.
//
// The package is pure. Talking to a TPM is quicklime/agent/tpmdev.
package tpm

import "errors"

// ErrMalformed says that bytes are not the structure they should be.
var ErrMalformed = errors.New("malformed TPM structure")

// ErrSignature says that a signature is not by the key, or not of the kind that
// the key makes.
var ErrSignature = errors.New("signature does not verify")

// Hierarchies (TPM 2.0 Library part 2, section 7.4).
const (
	Owner       uint32 = 0x40000001
	Endorsement uint32 = 0x4000000B
)

// TPM_ALG_ID values of the structures read here (part 2, section 6.3).
const (
	algRSASSA = 0x0014
	algECDSA  = 0x0018
)
