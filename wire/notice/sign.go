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
	payload, err := n.encode()
	if err != nil {
		return nil, fmt.Errorf("notice %d: %w", n.Sequence, err)
	}
	b, err := noticeForm.sign(payload, key, random)
	if err != nil {
		return nil, fmt.Errorf("notice %d: %w", n.Sequence, err)
	}
	return b, nil
}

func (f form) sign(payload []byte, key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	k, err := KeyOf(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		return nil, err
	}
	aad, err := f.externalAAD()
	if err != nil {
		return nil, err
	}
	m := cose.Sign1Message{Headers: cose.Headers{Protected: f.protectedHeader(k)}, Payload: payload}
	if err := m.Sign(random, aad, signer); err != nil {
		return nil, err
	}
	return m.MarshalCBOR()
}

func (f form) protectedHeader(k Key) cose.ProtectedHeader {
	return cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: cose.AlgorithmES256,
		cose.HeaderLabelKeyID:     k.kid(),
		cose.HeaderLabelType:      f.mediaType,
	}
}

// externalAAD keeps a notice from being taken for something else that the key signs.
func (f form) externalAAD() ([]byte, error) { return strictcbor.Marshal([]string{f.context}) }
