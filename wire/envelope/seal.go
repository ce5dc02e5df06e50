package envelope

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/veraison/go-cose"

	"quicklime/wire/strictcbor"
	"quicklime/wire/tpm"
)

// A Quoter makes a quote by the AK with the given extraData (32 bytes) and
// returns its TPMS_ATTEST and TPMT_SIGNATURE.
type Quoter func(extraData []byte) (attest, signature []byte, err error)

// Seal returns the envelope of a payload, for a connection with the given
// exporter. It calls quote once and returns its error.
func Seal(p Payload, ak tpm.Public, exporter []byte, quote Quoter) ([]byte, error) {
	if err := supported(ak); err != nil {
		return nil, err
	}
	payload, err := p.encode()
	if err != nil {
		return nil, err
	}
	aad, err := encodeAAD(exporter)
	if err != nil {
		return nil, err
	}
	m := cose.Sign1Message{Headers: cose.Headers{Protected: protectedHeader(ak)}, Payload: payload}
	if err := m.Sign(nil, aad, quoteSigner(quote)); err != nil {
		return nil, fmt.Errorf("sign evidence: %w", err)
	}
	return m.MarshalCBOR()
}

// quoteSigner is a Quoter as a COSE signer.
type quoteSigner Quoter

func (quoteSigner) Algorithm() cose.Algorithm { return AlgorithmES256 }

func (q quoteSigner) Sign(_ io.Reader, content []byte) ([]byte, error) {
	extraData := sha256.Sum256(content)
	attest, signature, err := q(extraData[:])
	if err != nil {
		return nil, err
	}
	return strictcbor.Marshal(quoted{Attest: attest, Signature: signature})
}
