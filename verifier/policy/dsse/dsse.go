// Package dsse signs policies, of the files that run and of boots, and verifies who
// signed them.
//
// # Format
//
// A signed policy is a DSSE envelope (Dead Simple Signing Envelope 1.0,
// envelope.md), as Keylime's tools write it: one JSON object
//
//	payload      base64 of the policy's text
//	payloadType  a Type: "application/vnd.keylime+json" of a runtime policy
//	signatures   [{keyid: string, sig: base64}, …], at least one
//
// Base64 is standard or URL-safe, with padding. keyid may be left out. Unknown
// members are ignored, as the specification demands: no signature covers them.
// A member that an object has twice and anything after the object are errors, for
// two readers could take two different policies.
//
// What is signed is PAE(payloadType, payload) (protocol.md, in ASCII decimal):
//
//	"DSSEv1" SP len(type) SP type SP len(payload) SP payload
//
// by one of
//
//	ECDSA    P-256, P-384 or P-521; over SHA-256 whatever the curve; the signature in DER
//	RSA      2048 to 8192 bits; PSS over SHA-256
//	Ed25519
//
// of which Keylime has the first.
//
// # Trust
//
// A key is trusted because the operator configured it: itself, in a certificate,
// or by the CA that issued the certificate of it. An envelope grants nothing. Its
// keyid is one of
//
//	hex SHA-256 of the PEM form of the key's SubjectPublicKeyInfo
//	base64 of the PEM form of the key's X.509 certificate
//
// and helps to find the key. A certificate that came this way counts only if it
// chains to a configured CA, is valid, and is for this use: its extended key usage
// names code signing, since a CA may have issued certificates for much else, and a
// key usage, if it has one, digital signature. Nothing stands between it and the
// CA: an intermediate CA is configured or unknown. A configured certificate that
// is no CA's must be valid; what it is for the operator knows.
//
// One good signature of a trusted key is enough, whatever else is there.
//
// The package is pure.
package dsse

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// Type is what a payload is. A signature covers it, so that what somebody signed as one
// kind of policy is never taken for the other.
type Type string

// What can be signed. Keylime signs runtime policies alone.
const (
	RuntimePolicy Type = "application/vnd.keylime+json"
	BootPolicy    Type = "application/vnd.quicklime.boot-policy+json"
)

// kinds are the types in words.
var kinds = map[Type]string{RuntimePolicy: "a runtime policy", BootPolicy: "a boot policy"}

// Verified is a policy that somebody signed whom the operator trusts. Only
// Keys.Verify makes one that is not empty.
type Verified struct {
	payload []byte
	signers []Signer
}

// Payload returns the policy's text. It must not be changed.
func (v Verified) Payload() []byte { return v.payload }

// Signers returns who signed, at least one and each once, in the order of the
// signatures.
func (v Verified) Signers() []Signer { return v.signers }

// Signer is a key that is trusted, or that signs.
type Signer struct {
	KeyID   string // lower-case hex SHA-256 of the PEM form of its SubjectPublicKeyInfo
	Subject string // of the certificate that has the key (RFC 2253); empty: there is none
}

// String returns the signer for a person.
func (s Signer) String() string {
	if s.Subject == "" {
		return "key " + s.KeyID
	}
	return fmt.Sprintf("%q, key %s", s.Subject, s.KeyID)
}

// message is what the signatures of one envelope cover.
type message struct {
	of      Type
	payload []byte
	digest  []byte // SHA-256 of the pre-authentication encoding
}

func newMessage(of Type, payload []byte) message {
	h := sha256.New()
	writePAE(h, of, payload)
	return message{of, payload, h.Sum(nil)}
}

// writePAE writes the pre-authentication encoding of a payload.
func writePAE(w io.Writer, payloadType Type, payload []byte) {
	fmt.Fprintf(w, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	w.Write(payload)
}
