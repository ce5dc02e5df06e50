package digsig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
)

// Key is a public key that verifies signatures. Only the functions of this
// package make one that does.
type Key struct {
	ID          uint32
	Fingerprint [sha256.Size]byte // SHA-256 of the DER SubjectPublicKeyInfo
	Public      crypto.PublicKey  // *rsa.PublicKey, or *ecdsa.PublicKey on P-256, P-384 or P-521

	spki []byte
}

// SPKI returns the key's DER SubjectPublicKeyInfo.
func (k *Key) SPKI() []byte { return bytes.Clone(k.spki) }

// verify reports whether sig is k's signature over a digest, of h's size.
func (k *Key) verify(h Hash, sum, sig []byte) bool {
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(p, h.function(), sum, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, sum, sig)
	}
	return false
}

// ParseKey reads a key as an operator may have it: a certificate, a
// SubjectPublicKeyInfo or a PKCS #1 RSAPublicKey, in DER, or one of them in PEM.
// Nothing may stand beside it but, about PEM, space. What is none of them is ErrNotKey;
// a key of another algorithm, curve or size is ErrUnsupported.
//
// A certificate is a container for its key here: neither its signature nor its
// dates are looked at, as the kernel does not when it verifies a file.
func ParseKey(b []byte) (*Key, error) {
	if err := bounded(b); err != nil {
		return nil, err
	}
	text := bytes.TrimSpace(b)
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return parseDER(b)
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: not PEM, though it begins so", ErrNotKey)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: something follows the first PEM block", ErrNotKey)
	}
	switch block.Type {
	case "CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY":
		return parseDER(block.Bytes)
	}
	return nil, fmt.Errorf("%w: a PEM block of type %q", ErrNotKey, block.Type)
}

// ParseCertificate reads what a kernel keeps a key of a keyring in, and so the
// buffer of a key's event: a DER certificate. Errors are those of ParseKey.
func ParseCertificate(der []byte) (*Key, error) {
	if err := bounded(der); err != nil {
		return nil, err
	}
	if !shaped(der, new(certificate)) {
		return nil, fmt.Errorf("%w: no certificate", ErrNotKey)
	}
	return parseDER(der)
}

func bounded(b []byte) error {
	if len(b) > MaxKey {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrNotKey, len(b), MaxKey)
	}
	return nil
}

// The outlines of the three forms, no two of which fit the same bytes (RFC 5280,
// 4.1; RFC 8017, A.1.1).
type (
	certificate struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	publicKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	rsaPublicKey struct{ N, E *big.Int }
)

// shaped reports whether der is one value of that outline and nothing else.
func shaped(der []byte, outline any) bool {
	rest, err := asn1.Unmarshal(der, outline)
	return err == nil && len(rest) == 0
}

func parseDER(der []byte) (*Key, error) {
	var public crypto.PublicKey
	var skid []byte
	var err error
	switch {
	case shaped(der, new(certificate)):
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(der); err == nil {
			public, skid = c.PublicKey, c.SubjectKeyId
		}
	case shaped(der, new(publicKeyInfo)):
		public, err = x509.ParsePKIXPublicKey(der)
	case shaped(der, new(rsaPublicKey)):
		public, err = x509.ParsePKCS1PublicKey(der)
	default:
		return nil, ErrNotKey
	}
	if err != nil {
		return nil, fmt.Errorf("%w key: %w", ErrUnsupported, err)
	}
	k, err := newKey(public)
	if err == nil && len(skid) >= 4 {
		k.ID = lastFour(skid)
	}
	return k, err
}

// NewKey returns the key of a DER SubjectPublicKeyInfo under an id that was given
// with it: that of a certificate which is not at hand. Errors are those of
// ParseKey.
func NewKey(id uint32, spki []byte) (*Key, error) {
	if err := bounded(spki); err != nil {
		return nil, err
	}
	if !shaped(spki, new(publicKeyInfo)) {
		return nil, fmt.Errorf("%w: no SubjectPublicKeyInfo", ErrNotKey)
	}
	k, err := parseDER(spki)
	if err != nil {
		return nil, err
	}
	k.ID = id
	return k, nil
}

// newKey returns the key under the id that its bits give it.
func newKey(public crypto.PublicKey) (*Key, error) {
	if err := supported(public); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w key: %w", ErrUnsupported, err)
	}
	var info publicKeyInfo
	if !shaped(spki, &info) {
		return nil, fmt.Errorf("%w key", ErrUnsupported)
	}
	id := sha1.Sum(info.Key.Bytes)
	return &Key{ID: lastFour(id[:]), Fingerprint: sha256.Sum256(spki), Public: public, spki: spki}, nil
}

func supported(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return fmt.Errorf("%w key: RSA of %d bits, not %d to %d", ErrUnsupported, n, MinRSABits, MaxRSABits)
		}
		if p.N.Bit(0) == 0 || p.E < 3 || p.E%2 == 0 || p.E > math.MaxInt32 {
			return fmt.Errorf("%w key: RSA with an even modulus or the exponent %d", ErrUnsupported, p.E)
		}
		return nil
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("%w key: ECDSA on %s", ErrUnsupported, p.Params().Name)
	}
	return fmt.Errorf("%w key: neither RSA nor ECDSA", ErrUnsupported)
}

func lastFour(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-4:]) }
