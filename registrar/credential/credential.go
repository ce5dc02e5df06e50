// Package credential decides whether the keys of a registration live in one
// TPM, and on this connection. It is the only maker of [Proven], so a key that
// was not proven cannot be stored.
//
// A registration is one exchange on a connection of ALPN quicklime-register/1,
// whose 32-byte TLS exporter has the label wire.ExporterRegister:
//
//	agent → Register     EK, AK, transport key and TPM2_Certify of the transport key by the AK
//	      ← Credential   TPM2_MakeCredential(EK, Name of AK, secret)
//	      → Proof        hmac
//
// What must hold of Register, beside its own bounds:
//
//   - the EK is of a TCG default template, byte for byte except unique (TCG EK
//     Credential Profile for TPM Family 2.0, version 2.6: Template L-1: RSA 2048,
//     or Template L-2: ECC NIST P256);
//   - AK and transport key are of this protocol's templates (quicklime/wire/tpm),
//     byte for byte except unique;
//   - the transport key is the key of the TLS peer;
//   - the certification (TPM 2.0 Library part 3, section 18.2, TPM2_Certify) is
//     of the transport key as a primary of the owner hierarchy, by the AK as a
//     primary of the endorsement hierarchy;
//   - its qualifying data is that of these keys on this connection.
//
// The qualifying data is wire.RegisterQualifying. The secret is 32 random bytes.
// Only the TPM that holds both EK and AK opens it (part 1, section 24, Credential
// Protection). Credential carries what is in TPM2B_ID_OBJECT and
// TPM2B_ENCRYPTED_SECRET, without their sizes. The proof is wire.RegisterProof.
//
// Whether the EK is a vendor's is for quicklime/registrar/ekcert to say. The
// package is pure.
package credential

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/tpm"
)

// Why a registration is refused. Every error of this package wraps one of them,
// unless it is not about the peer.
var (
	ErrEK    = errors.New("EK refused")
	ErrKeys  = errors.New("keys refused")
	ErrProof = errors.New("proof refused")
)

// Candidate is a registration whose keys fit together. That they live in a TPM
// is not proven yet. Only Check fills one.
type Candidate struct {
	ek, ak, transport tpm.Public
	register          []byte // the frame
	exporter          []byte
}

// EK returns the endorsement key that the registration claims.
func (c Candidate) EK() tpm.Public { return c.ek }

// Check reads the keys of r and holds them against the rules of the package
// comment. tlsSPKI is the SHA-256 of the TLS peer's SubjectPublicKeyInfo,
// exporter the connection's, wire.ExporterSize bytes. The error wraps ErrEK or
// ErrKeys.
func Check(r wire.Register, tlsSPKI [32]byte, exporter []byte) (Candidate, error) {
	frame, err := wire.AppendFrame(nil, r)
	if err != nil {
		return Candidate{}, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if len(exporter) != wire.ExporterSize {
		return Candidate{}, fmt.Errorf("%w: exporter of %d bytes", ErrKeys, len(exporter))
	}
	c := Candidate{register: frame, exporter: bytes.Clone(exporter)}
	if c.ek, err = endorsementKey(r.EKPublic); err != nil {
		return Candidate{}, fmt.Errorf("%w: %w", ErrEK, err)
	}
	if c.ak, err = keyOf(r.AKPublic, tpm.AKTemplate()); err != nil {
		return Candidate{}, fmt.Errorf("%w: AK: %w", ErrKeys, err)
	}
	if c.transport, err = keyOf(r.Transport, tpm.TransportTemplate()); err != nil {
		return Candidate{}, fmt.Errorf("%w: transport key: %w", ErrKeys, err)
	}
	if err := c.checkPeer(tlsSPKI); err != nil {
		return Candidate{}, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if err := c.checkCertification(r.Certify, r.Signature); err != nil {
		return Candidate{}, fmt.Errorf("%w: certification: %w", ErrKeys, err)
	}
	return c, nil
}

// errTemplate says that a key is not what its template makes.
var errTemplate = errors.New("another template")

// endorsementKey reads an EK of one of the templates that TPMs are provisioned
// with. A TPM makes as many other keys of its endorsement hierarchy as somebody
// asks for, each of which would be another id (I11).
func endorsementKey(area []byte) (tpm.Public, error) {
	ek, err := keyOf(area, tpm2.RSAEKTemplate)
	if errors.Is(err, errTemplate) {
		ek, err = keyOf(area, tpm2.ECCEKTemplate)
	}
	if errors.Is(err, errTemplate) {
		return tpm.Public{}, errors.New("it is of neither TCG default template L-1 (RSA-2048) nor L-2 (ECC P-256); other templates are not supported")
	}
	return ek, err
}

// keyOf reads a public area that is the template's in everything but unique.
func keyOf(area []byte, template tpm2.TPMTPublic) (tpm.Public, error) {
	p, err := tpm.ParsePublic(area)
	if err != nil {
		return tpm.Public{}, err
	}
	if !p.Matches(template) {
		return tpm.Public{}, fmt.Errorf("a key of %w", errTemplate)
	}
	return p, nil
}

func (c Candidate) checkPeer(tlsSPKI [32]byte) error {
	spki, err := tpm.SPKIHash(c.transport.Key())
	if err != nil {
		return err
	}
	if spki != tlsSPKI {
		return errors.New("the transport key is not the key of the connection")
	}
	return nil
}

// checkCertification holds a TPMS_ATTEST and its signature against the keys.
func (c Candidate) checkCertification(attest, signature []byte) error {
	if err := c.ak.VerifySignature(attest, signature); err != nil {
		return err
	}
	a, err := tpm.ParseAttest(attest)
	if err != nil {
		return err
	}
	want := wire.RegisterQualifying(c.exporter, c.ek.Name(), c.ak.Name(), c.transport.Name())
	switch {
	case a.Type != tpm.AttestCertify:
		return fmt.Errorf("attestation of type 0x%04x", uint16(a.Type))
	case !bytes.Equal(a.QualifiedSigner, c.ak.QualifiedName(tpm.Endorsement)):
		return errors.New("the AK is no primary of the endorsement hierarchy")
	case !bytes.Equal(a.Name, c.transport.Name()):
		return errors.New("it is of another key")
	case !bytes.Equal(a.QualifiedName, c.transport.QualifiedName(tpm.Owner)):
		return errors.New("the transport key is no primary of the owner hierarchy")
	case !bytes.Equal(a.ExtraData, want[:]):
		return errors.New("it was made for another connection or with other keys")
	}
	return nil
}
