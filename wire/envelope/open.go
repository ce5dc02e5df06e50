package envelope

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
	"quicklime/wire/tpm"
)

// Opened is an envelope that was opened: the AK signed it in a quote, for this
// agent and this connection. Whether its nonce lives and its PCRs are the right
// ones is not checked yet. Only Open fills one; the zero Opened is by no key.
type Opened struct {
	ak      tpm.Public
	payload Payload
	attest  tpm.Attest
}

// AK returns the key that signed.
func (o Opened) AK() tpm.Public { return o.ak }

// Payload returns what the envelope says.
func (o Opened) Payload() Payload { return o.payload }

// Attest returns what the TPM signed.
func (o Opened) Attest() tpm.Attest { return o.attest }

// Open checks an envelope against the agent's pinned AK and the exporter of the
// connection it came over. The error is ErrInvalid with the first thing that does
// not hold.
func Open(envelope []byte, ak tpm.Public, agentID string, exporter []byte) (Opened, error) {
	o, err := open(envelope, ak, agentID, exporter)
	if err != nil {
		return Opened{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return o, nil
}

func open(envelope []byte, ak tpm.Public, agentID string, exporter []byte) (Opened, error) {
	if err := supported(ak); err != nil {
		return Opened{}, err
	}
	m, err := parse(envelope, ak)
	if err != nil {
		return Opened{}, err
	}
	aad, err := encodeAAD(exporter)
	if err != nil {
		return Opened{}, err
	}
	v := quoteVerifier{ak: ak}
	if err := m.Verify(aad, &v); err != nil {
		return Opened{}, err
	}
	p, err := decodePayload(m.Payload)
	if err != nil {
		return Opened{}, err
	}
	if p.AgentID != agentID {
		return Opened{}, errors.New("the ueid is of another agent")
	}
	return Opened{ak, p, v.attest}, nil
}

// parse reads a COSE_Sign1 and insists that it is the one encoding of its
// payload and signature under the one header that the AK implies.
func parse(envelope []byte, ak tpm.Public) (cose.Sign1Message, error) {
	var m cose.Sign1Message
	if len(envelope) > wire.MaxEnvelope {
		return m, fmt.Errorf("%d bytes, limit is %d", len(envelope), wire.MaxEnvelope)
	}
	if err := m.UnmarshalCBOR(envelope); err != nil {
		return m, err
	}
	want := cose.Sign1Message{Headers: cose.Headers{Protected: protectedHeader(ak)}, Payload: m.Payload, Signature: m.Signature}
	encoded, err := want.MarshalCBOR()
	if err != nil {
		return m, err
	}
	if !bytes.Equal(encoded, envelope) {
		return m, errors.New("not the deterministic encoding with exactly alg TPM-QUOTE-ES256, the enrolled AK's kid and typ " + mediaType)
	}
	return m, nil
}

// quoteVerifier checks a signature that is a quote. After Verify returned nil
// attest is what the TPM signed.
type quoteVerifier struct {
	ak     tpm.Public
	attest tpm.Attest
}

func (*quoteVerifier) Algorithm() cose.Algorithm { return AlgorithmES256 }

func (v *quoteVerifier) Verify(content, signature []byte) error {
	var q quoted
	if err := strictcbor.Unmarshal(signature, &q); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	a, err := tpm.ParseAttest(q.Attest)
	if err != nil {
		return err
	}
	want := sha256.Sum256(content)
	switch {
	case a.Type != tpm.AttestQuote:
		return fmt.Errorf("the attestation is of type 0x%04x, not a quote", uint16(a.Type))
	case !bytes.Equal(a.QualifiedSigner, v.ak.QualifiedName(tpm.Endorsement)):
		return errors.New("the signer is not the enrolled AK as a primary of the endorsement hierarchy")
	case !bytes.Equal(a.ExtraData, want[:]):
		return errors.New("the quote is over another message, connection or nonce")
	}
	if err := v.ak.VerifySignature(q.Attest, q.Signature); err != nil {
		return err
	}
	v.attest = a
	return nil
}
