package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// A KeyKind is what a key is of.
type KeyKind string

// The kinds of keys that are made: both are good until 2030 and beyond (NIST SP
// 800-57 part 1, table 2), and whatever speaks TLS knows both.
const (
	P256    KeyKind = "p256"
	RSA3072 KeyKind = "rsa3072"
)

// ParseKeyKind reads the name of a kind.
func ParseKeyKind(s string) (KeyKind, error) {
	switch k := KeyKind(s); k {
	case P256, RSA3072:
		return k, nil
	}
	return "", fmt.Errorf("%q is no kind of key: want %s or %s", s, P256, RSA3072)
}

// Generate makes a key.
func (k KeyKind) Generate() (crypto.Signer, error) {
	switch k {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, fmt.Errorf("%q is no kind of key", k)
}

// KindOf returns the kind of a public key, "" if it is of none that is made.
func KindOf(public crypto.PublicKey) KeyKind {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return P256
		}
	case *rsa.PublicKey:
		if k.N.BitLen() == 3072 {
			return RSA3072
		}
	}
	return ""
}

// The labels of PEM blocks (RFC 7468).
const (
	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
	pemPublicKey   = "PUBLIC KEY"
	pemList        = "X509 CRL"
)

// MarshalPrivateKey returns a key in PKCS #8, as PEM.
func MarshalPrivateKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encode(pemPrivateKey, der), nil
}

// ParsePrivateKey reads what MarshalPrivateKey writes.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	der, err := decode(pemPrivateKey, text)
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if key, ok := k.(crypto.Signer); ok && KindOf(key.Public()) != "" {
		return key, nil
	}
	return nil, fmt.Errorf("want a key of kind %s or %s, have %T", P256, RSA3072, k)
}

// MarshalPublicKey returns a SubjectPublicKeyInfo as PEM.
func MarshalPublicKey(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return encode(pemPublicKey, der), nil
}

// MarshalCertificate returns a certificate as PEM.
func MarshalCertificate(c *x509.Certificate) []byte { return encode(pemCertificate, c.Raw) }

// ParseCertificate reads one certificate.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	der, err := decode(pemCertificate, text)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func encode(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func decode(label string, text []byte) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != label || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("want one PEM block %q", label)
	}
	return block.Bytes, nil
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// keyID is the subject key identifier of a key: RFC 7093, section 2, method 1.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) != 0 {
		return nil, errors.New("the public key has no SubjectPublicKeyInfo")
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}
