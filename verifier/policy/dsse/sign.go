package dsse

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// The JSON of an envelope that is written.
type (
	written struct {
		Payload     []byte             `json:"payload"`
		PayloadType Type               `json:"payloadType"`
		Signatures  []writtenSignature `json:"signatures"`
	}
	writtenSignature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
)

// Sign returns an envelope with the text of a policy of the given type, and who signed it. The key is
// an ECDSA, RSA or Ed25519 private key. c is its certificate, which the envelope
// then carries; nil: only those verify it who have the key itself.
func Sign(random io.Reader, of Type, payload []byte, private crypto.Signer, c *x509.Certificate) ([]byte, Signer, error) {
	k, err := newKey(private.Public(), c)
	if err != nil {
		return nil, Signer{}, err
	}
	if c != nil && !sameKey(c.PublicKey, private.Public()) {
		return nil, Signer{}, fmt.Errorf("the certificate of %q is of another key", c.Subject)
	}
	sig, err := makeSignature(random, newMessage(of, payload), private)
	if err != nil {
		return nil, Signer{}, err
	}
	s := writtenSignature{k.id, sig}
	if c != nil {
		s.KeyID = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw}))
	}
	text, err := json.Marshal(written{payload, of, []writtenSignature{s}})
	return append(text, '\n'), k.signer(), err
}

func makeSignature(random io.Reader, m message, private crypto.Signer) ([]byte, error) {
	switch private.Public().(type) {
	case *rsa.PublicKey:
		return private.Sign(random, m.digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case ed25519.PublicKey:
		return private.Sign(random, m.pae(), crypto.Hash(0))
	}
	return private.Sign(random, m.digest, crypto.SHA256)
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// ParsePrivateKey reads a private key in PEM: PKCS #8, or the older forms of ECDSA
// (RFC 5915) and RSA (PKCS #1), of which Keylime's tools write the first.
func ParsePrivateKey(file []byte) (crypto.Signer, error) {
	blocks, err := split(file)
	if err != nil {
		return nil, err
	}
	if len(blocks) > 1 && blocks[0].Type == "EC PARAMETERS" { // which openssl writes before a key, and the key has too
		blocks = blocks[1:]
	}
	if len(blocks) > 1 {
		return nil, errors.New("it holds more than one PEM block, want one private key")
	}
	return parsePrivateKey(blocks[0])
}

func parsePrivateKey(b *pem.Block) (crypto.Signer, error) {
	switch {
	case b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["Proc-Type"] != "":
		return nil, errors.New(`the key is encrypted, which is not supported: "openssl pkey -in KEY" decrypts it`)
	case b.Type == "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(b.Bytes)
	case b.Type == "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(b.Bytes)
	case b.Type != "PRIVATE KEY":
		return nil, fmt.Errorf("it holds a PEM block %s, want a private key", quote(b.Type))
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	switch k := k.(type) {
	case *ecdsa.PrivateKey:
		return k, nil
	case *rsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T, want ECDSA, RSA or Ed25519", k)
}

// ParseCertificate reads one certificate in PEM.
func ParseCertificate(file []byte) (*x509.Certificate, error) {
	blocks, err := split(file)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 || blocks[0].Type != pemCertificate {
		return nil, errors.New("want one certificate and nothing else")
	}
	return x509.ParseCertificate(blocks[0].Bytes)
}
