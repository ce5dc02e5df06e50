// Package identity checks that the public areas an enrolment names hang
// together as one machine's identity: the EK is the one the id is made of, and
// AK and transport key are of the templates that give their use its meaning.
//
// Only the registrar saw that the keys live in one TPM (credential activation,
// TPM2_Certify). This package is what anybody can check again without asking
// it; the verifier does before it pins, and the tenant before it asks for that.
//
// The package is pure: plain data in, plain data out.
package identity

import (
	"errors"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/tpm"
)

// ErrInvalid says that public areas are no identity of the id.
var ErrInvalid = errors.New("identity does not check")

// Identity is a machine's identity that was checked. Only Check fills one.
type Identity struct {
	id                string
	ek, ak, transport tpm.Public
}

// Check parses three TPMT_PUBLIC areas and refuses them, with an error that
// wraps ErrInvalid and names the part, unless
//
//   - id is the SHA-256 of ek (I11),
//   - ak is of tpm.AKTemplate: restricted, so that it signs nothing but what the
//     TPM itself made,
//   - transport is of tpm.TransportTemplate.
func Check(id string, ek, ak, transport []byte) (Identity, error) {
	i := Identity{id: id}
	if !wire.ValidID(id) {
		return Identity{}, fmt.Errorf("%w: %q is not an agent id", ErrInvalid, id)
	}
	parts := []struct {
		name  string
		bytes []byte
		into  *tpm.Public
	}{{"EK", ek, &i.ek}, {"AK", ak, &i.ak}, {"transport key", transport, &i.transport}}
	for _, p := range parts {
		var err error
		if *p.into, err = tpm.ParsePublic(p.bytes); err != nil {
			return Identity{}, fmt.Errorf("%w: %s: %w", ErrInvalid, p.name, err)
		}
	}
	switch {
	case i.ek.AgentID() != id:
		return Identity{}, fmt.Errorf("%w: the EK is that of %s, not of %s", ErrInvalid, i.ek.AgentID(), id)
	case !i.ak.Matches(tpm.AKTemplate()):
		return Identity{}, fmt.Errorf("%w: the AK is not of this product's template", ErrInvalid)
	case !i.transport.Matches(tpm.TransportTemplate()):
		return Identity{}, fmt.Errorf("%w: the transport key is not of this product's template", ErrInvalid)
	}
	return i, nil
}

// ID returns the agent id.
func (i Identity) ID() string { return i.id }

// EK returns the endorsement key.
func (i Identity) EK() tpm.Public { return i.ek }

// AK returns the attestation key.
func (i Identity) AK() tpm.Public { return i.ak }

// Transport returns the key of the machine's TLS certificate.
func (i Identity) Transport() tpm.Public { return i.transport }
