package wire

import "fmt"

// The messages about payloads, in the attestation session. In CDDL:
//
//	offers   = { 1: [* { 1: bstr, 2: bstr, 3: bstr }] }    ; 0x10, verifier
//	fetch    = { 1: tstr, 2: uint, 3: uint, 4: uint }      ; 0x11, agent
//	chunk    = { 1: tstr, 2: uint, 3: uint, 4: uint }      ; 0x12, verifier, followed by raw bytes
//	ask      = { 1: tstr, 2: uint }                        ; 0x13, agent
//	release  = { 1: tstr, 2: uint, 3: bstr .size 32 }      ; 0x14, verifier
//	receipt  = { 1: bstr }                                 ; 0x15, agent
//	refusal  = { 1: tstr, 2: uint, 3: tstr }               ; 0x16, agent
//
// Manifest, shares, ciphertext and receipt are those of quicklime/wire/payload.
//
//	agent                                              verifier
//	  ◄───────────────────────────────────────────── Offers   after the first verdict, when it comes to be trusted, and when they change
//	  check the manifest
//	  Fetch{offset} ───────────────────────────────────►
//	  ◄──────────────────────────────── Chunk, ciphertext     one at a time, so that the session answers challenges
//	  check the digest of the ciphertext
//	  Ask ─────────────────────────────────────────────►
//	  ◄────────────────────────────────────────── Challenge   with a nonce that was issued after Ask
//	  Evidence ────────────────────────────────────────►
//	  ◄──────────────────────────────────────────── Verdict
//	  ◄──────────────────────────────────────────── Release   if the verdict is that the machine is trusted (I27)
//	  open the sealed share, derive, decrypt, unpack
//	  Receipt ─────────────────────────────────────────►
//
// Offers is everything that the verifier has for the machine: what the machine
// holds and is not offered any more has been withdrawn. Fetch and Ask are not answered
// while the machine is not trusted, nor for what is not offered: the agent asks again
// after the next Offers.
const (
	TypeOffers  Type = 0x10 // verifier → agent
	TypeFetch   Type = 0x11 // agent → verifier
	TypeChunk   Type = 0x12 // verifier → agent, followed by raw bytes
	TypeAsk     Type = 0x13 // agent → verifier
	TypeRelease Type = 0x14 // verifier → agent
	TypeReceipt Type = 0x15 // agent → verifier
	TypeRefusal Type = 0x16 // agent → verifier
)

// Offer is one payload that the verifier has for an agent.
type Offer struct {
	Manifest []byte `cbor:"1,keyasint"`
	Object   []byte `cbor:"2,keyasint"` // of the sealed share
	Secret   []byte `cbor:"3,keyasint"`
}

// Offers is every payload that the verifier has for an agent.
type Offers struct {
	Offers []Offer `cbor:"1,keyasint"`
}

// Fetch asks for a part of a ciphertext.
type Fetch struct {
	Name    string `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
	Offset  uint64 `cbor:"3,keyasint"`
	Bytes   uint64 `cbor:"4,keyasint"` // at most so many
}

// Chunk announces the raw bytes that follow the frame.
type Chunk struct {
	Name    string `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
	Offset  uint64 `cbor:"3,keyasint"`
	Bytes   uint64 `cbor:"4,keyasint"` // from 1
}

// Ask asks for the verifier's share of the key of a payload whose ciphertext is
// there.
type Ask struct {
	Name    string `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
}

// Release is the verifier's share. It follows the verdict that the machine is
// trusted, in whose transaction it was released.
type Release struct {
	Name    string                 `cbor:"1,keyasint"`
	Version uint64                 `cbor:"2,keyasint"`
	Share   [PayloadShareSize]byte `cbor:"3,keyasint"`
}

// String keeps the share out of logs.
func (m Release) String() string {
	return fmt.Sprintf("release of payload %s, version %d", m.Name, m.Version)
}

// GoString keeps the share out of logs.
func (m Release) GoString() string { return m.String() }

// Receipt says what became of a payload, for the operator.
type Receipt struct {
	Receipt []byte `cbor:"1,keyasint"`
}

// PayloadRefusal says why a payload was not opened: nobody can authenticate that,
// for the key is what is missing.
type PayloadRefusal struct {
	Name    string `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
	Reason  string `cbor:"3,keyasint"`
}

// Type implements Message.
func (Offers) Type() Type         { return TypeOffers }
func (Fetch) Type() Type          { return TypeFetch }
func (Chunk) Type() Type          { return TypeChunk }
func (Ask) Type() Type            { return TypeAsk }
func (Release) Type() Type        { return TypeRelease }
func (Receipt) Type() Type        { return TypeReceipt }
func (PayloadRefusal) Type() Type { return TypeRefusal }

// Check implements Message.
func (m Offers) Check() error {
	if len(m.Offers) > MaxPayloads {
		return fmt.Errorf("%w: %d offers, limit is %d", ErrMalformed, len(m.Offers), MaxPayloads)
	}
	for _, o := range m.Offers {
		err := check("offer",
			rule{between(o.Manifest, 1, MaxManifest), "manifest"},
			rule{between(o.Object, 1, MaxShareObject), "object"},
			rule{between(o.Secret, 1, MaxShareSecret), "secret"})
		if err != nil {
			return err
		}
	}
	return nil
}

// payloadRules are those of all messages that name a version of a payload.
func payloadRules(name string, version uint64) []rule {
	return []rule{{ValidName(name), "name"}, {version > 0 && version <= MaxPayloadVersion, "version"}}
}

// Check implements Message.
func (m Fetch) Check() error {
	return check("fetch", append(payloadRules(m.Name, m.Version),
		rule{m.Offset < MaxSealedPayload, "offset"},
		rule{m.Bytes > 0 && m.Bytes <= MaxChunk, "bytes"})...)
}

// Check implements Message.
func (m Chunk) Check() error {
	return check("chunk", append(payloadRules(m.Name, m.Version),
		rule{m.Offset < MaxSealedPayload, "offset"},
		rule{m.Bytes > 0 && m.Bytes <= MaxChunk, "bytes"})...)
}

// Check implements Message.
func (m Ask) Check() error { return check("ask", payloadRules(m.Name, m.Version)...) }

// Check implements Message.
func (m Release) Check() error { return check("release", payloadRules(m.Name, m.Version)...) }

// Check implements Message.
func (m Receipt) Check() error {
	return check("receipt", rule{between(m.Receipt, 1, MaxReceipt), "receipt"})
}

// Check implements Message.
func (m PayloadRefusal) Check() error {
	return check("refusal", append(payloadRules(m.Name, m.Version), rule{Printable(m.Reason, MaxPayloadReason), "reason"})...)
}
