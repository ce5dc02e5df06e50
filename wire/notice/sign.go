package notice

import (
	"crypto/ecdsa"
	"fmt"
	"io"

	"github.com/veraison/go-cose"

	"quicklime/wire/strictcbor"
)

// Sign returns the notice that says n. It refuses one that Open would refuse.
func Sign(n Notice, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	k, err := KeyOf(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	payload, err := n.encode()
	if err != nil {
		return nil, fmt.Errorf("notice %d: %w", n.Sequence, err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		return nil, err
	}
	aad, err := externalAAD()
	if err != nil {
		return nil, err
	}
	m := cose.Sign1Message{Headers: cose.Headers{Protected: protectedHeader(k)}, Payload: payload}
	if err := m.Sign(random, aad, signer); err != nil {
		return nil, fmt.Errorf("notice %d: %w", n.Sequence, err)
	}
	return m.MarshalCBOR()
}

func protectedHeader(k Key) cose.ProtectedHeader {
	return cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: cose.AlgorithmES256,
		cose.HeaderLabelKeyID:     k.id(),
		cose.HeaderLabelType:      mediaType,
	}
}

// externalAAD keeps a notice from being taken for something else that the key signs.
func externalAAD() ([]byte, error) { return strictcbor.Marshal([]string{context}) }
