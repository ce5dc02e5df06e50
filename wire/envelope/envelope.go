// Package envelope seals and opens evidence: a COSE_Sign1 whose signature is a
// TPM quote.
//
// # Format
//
// The envelope is a tagged COSE_Sign1 (RFC 9052, section 4.2) in deterministic
// encoding (RFC 8949, section 4.2.1):
//
//	18([protected, {}, payload, signature])
//
//	protected = << {1: -65537, 4: kid, 16: "application/eat+cwt"} >>
//	            ; alg TPM-QUOTE-ES256 (private use); kid: the AK's Name
//	            ; typ (RFC 9596): the media type of an EAT in CWT form (RFC 9782)
//	payload   = << {
//	              10:     bstr .size 32,                 ; eat_nonce (RFC 9711, section 4.1)
//	              256:    bstr .size 33,                 ; ueid: 0x01 ‖ agent id (RFC 9711, section 4.2.1)
//	              265:    "urn:x-quicklime:attest:1",    ; eat_profile (RFC 9711, section 4.3.2)
//	              -70001: "start" / "growth" / "challenge" ; what made the agent send it: a
//	                                                     ; claim for private use (RFC 8392, section 9.1)
//	            } >>
//	signature = << [TPMS_ATTEST, TPMT_SIGNATURE] >>      ; two byte strings
//
// What is signed is the Sig_structure of RFC 9052, section 4.4, with
//
//	external_aad = << ["quicklime-attest/1", exporter] >>
//
// where exporter is 32 bytes of the TLS exporter with label
// EXPORTER-quicklime-attest-1 and no context (RFC 8446, section 7.5). The TPM
// signs a TPMS_ATTEST of type quote whose extraData is the SHA-256 of the
// Sig_structure; TPM-QUOTE-ES256 is ECDSA with SHA-256 on P-256 over that. So one
// TPM operation signs the message and the PCRs. Private-use algorithm -65538 is
// kept for the same with RSASSA.
//
// A plain ES256 is never accepted: a restricted AK signs any digest that
// TPM2_Hash made of bytes not beginning with TPM_GENERATED, and a Sig_structure
// is such bytes.
package envelope

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
	"quicklime/wire/tpm"
)

// AlgorithmES256 is TPM-QUOTE-ES256, in the range for private use of the IANA
// registry COSE Algorithms (RFC 8152, section 16.4).
const AlgorithmES256 cose.Algorithm = -65537

const (
	mediaType  = "application/eat+cwt"
	profile    = "urn:x-quicklime:attest:1"
	ueidRandom = 0x01 // the RAND type of a UEID (RFC 9711, section 4.2.1.1)
)

// ErrInvalid says that an envelope is not one, or not by the AK over this
// connection for this agent.
var ErrInvalid = errors.New("invalid evidence envelope")

// Payload is what an envelope says besides what its quote says.
type Payload struct {
	Nonce   []byte // wire.NonceSize bytes
	AgentID string
	Trigger wire.Trigger
}

// claims is a Payload as EAT claims.
type claims struct {
	Nonce   []byte       `cbor:"10,keyasint"`
	UEID    []byte       `cbor:"256,keyasint"`
	Profile string       `cbor:"265,keyasint"`
	Trigger wire.Trigger `cbor:"-70001,keyasint"`
}

// quoted is the signature: a TPMS_ATTEST and a TPMT_SIGNATURE.
type quoted struct {
	_         struct{} `cbor:",toarray"`
	Attest    []byte
	Signature []byte
}

// externalAAD binds an envelope to its connection.
type externalAAD struct {
	_        struct{} `cbor:",toarray"`
	Protocol string
	Exporter []byte
}

func (p Payload) encode() ([]byte, error) {
	id, err := hex.DecodeString(p.AgentID)
	if err != nil || len(id) != sha256.Size {
		return nil, fmt.Errorf("agent id %q is not a SHA-256", p.AgentID)
	}
	return strictcbor.Marshal(claims{p.Nonce, append([]byte{ueidRandom}, id...), profile, p.Trigger})
}

func decodePayload(b []byte) (Payload, error) {
	var c claims
	if err := strictcbor.Unmarshal(b, &c); err != nil {
		return Payload{}, fmt.Errorf("payload: %w", err)
	}
	switch {
	case c.Profile != profile:
		return Payload{}, fmt.Errorf("payload: profile is %q, want %q", c.Profile, profile)
	case len(c.Nonce) != wire.NonceSize:
		return Payload{}, fmt.Errorf("payload: nonce of %d bytes", len(c.Nonce))
	case len(c.UEID) != 1+sha256.Size || c.UEID[0] != ueidRandom:
		return Payload{}, errors.New("payload: ueid")
	case c.Trigger != wire.TriggerStart && c.Trigger != wire.TriggerGrowth && c.Trigger != wire.TriggerChallenge:
		return Payload{}, fmt.Errorf("payload: trigger %q", c.Trigger)
	}
	return Payload{c.Nonce, hex.EncodeToString(c.UEID[1:]), c.Trigger}, nil
}

// protectedHeader returns the one protected header that evidence by the AK has.
func protectedHeader(ak tpm.Public) cose.ProtectedHeader {
	return cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: AlgorithmES256,
		cose.HeaderLabelKeyID:     ak.Name(),
		cose.HeaderLabelType:      mediaType,
	}
}

func encodeAAD(exporter []byte) ([]byte, error) {
	if len(exporter) != wire.ExporterSize {
		return nil, fmt.Errorf("TLS exporter of %d bytes, want %d", len(exporter), wire.ExporterSize)
	}
	return strictcbor.Marshal(externalAAD{Protocol: wire.ALPNAttest, Exporter: exporter})
}

// supported refuses an AK for which there is no algorithm.
func supported(ak tpm.Public) error {
	if !ak.IsAK() {
		return errors.New("the AK is not of this protocol's template")
	}
	return nil
}
