package dsse

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The labels of PEM blocks (RFC 7468, sections 5, 10, 11 and 13; RFC 5915).
const (
	pemCertificate = "CERTIFICATE"
	pemPublicKey   = "PUBLIC KEY"
)

// Keys are whom the operator trusts to sign policies. The zero Keys trusts
// nobody.
type Keys struct {
	keys []key               // configured themselves
	cas  []*x509.Certificate // of whose certificates the keys are trusted, too
}

// key is a public key, perhaps with its certificate.
type key struct {
	public      crypto.PublicKey
	id          string
	certificate *x509.Certificate
}

func (k key) signer() Signer {
	if k.certificate == nil {
		return Signer{KeyID: k.id}
	}
	return Signer{k.id, k.certificate.Subject.String()}
}

// Add trusts what a file holds, in PEM: public keys (SubjectPublicKeyInfo),
// certificates of signers, and certificates of CAs, whose certificates for code
// signing are trusted then. It refuses a file that holds anything else or nothing,
// and of a file that it refuses it adds nothing.
func (k *Keys) Add(file []byte) error {
	blocks, err := split(file)
	if err != nil {
		return err
	}
	more := Keys{k.keys[:len(k.keys):len(k.keys)], k.cas[:len(k.cas):len(k.cas)]}
	for _, b := range blocks {
		if err := more.addBlock(b); err != nil {
			return err
		}
	}
	if more.Len() > MaxKeys {
		return fmt.Errorf("more than %d keys and certificates", MaxKeys)
	}
	*k = more
	return nil
}

// Len returns how many keys and certificates there are.
func (k *Keys) Len() int { return len(k.keys) }

func (k *Keys) addBlock(b *pem.Block) error {
	switch {
	case b.Type == pemPublicKey:
		public, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return err
		}
		return k.add(public, nil)
	case b.Type == pemCertificate:
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return err
		}
		if c.BasicConstraintsValid && c.IsCA {
			k.cas = append(k.cas, c)
		}
		return k.add(c.PublicKey, c)
	case strings.HasSuffix(b.Type, "PRIVATE KEY"):
		return errors.New(`it holds a private key, and only the public half belongs here: "openssl pkey -in KEY -pubout" prints it`)
	}
	return fmt.Errorf("it holds a PEM block %s, want %q or %q", quote(b.Type), pemPublicKey, pemCertificate)
}

func (k *Keys) add(public crypto.PublicKey, c *x509.Certificate) error {
	added, err := newKey(public, c)
	k.keys = append(k.keys, added)
	return err
}

// newKey refuses a key that is no good for signatures of policies.
func newKey(public crypto.PublicKey, c *x509.Certificate) (key, error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() && p.Curve != elliptic.P384() && p.Curve != elliptic.P521() {
			return key{}, fmt.Errorf("an ECDSA key of curve %s, want P-256, P-384 or P-521", p.Params().Name)
		}
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSA || n > maxRSA {
			return key{}, fmt.Errorf("an RSA key of %d bits, want %d to %d", n, minRSA, maxRSA)
		}
	case ed25519.PublicKey:
	default:
		return key{}, fmt.Errorf("a key of type %T, want ECDSA, RSA or Ed25519", public)
	}
	id, err := keyID(public)
	return key{public, id, c}, err
}

// keyID is the id that Keylime gives a key.
func keyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: der}))
	return hex.EncodeToString(sum[:]), nil
}

// good reports whether sig is the key's signature of a message.
func (k key) good(m message, sig []byte) bool {
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, m.digest, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPSS(p, crypto.SHA256, m.digest, sig, nil) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(p, m.pae(), sig)
	}
	return false
}

// pae is the whole pre-authentication encoding, which Ed25519 hashes in its own
// way.
func (m message) pae() []byte {
	var b bytes.Buffer
	writePAE(&b, m.of, m.payload)
	return b.Bytes()
}

// split returns the PEM blocks of a file, at least one.
func split(file []byte) (blocks []*pem.Block, err error) {
	if len(file) > MaxKeyFile {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(file), MaxKeyFile)
	}
	n := bytes.Count(file, []byte("-----BEGIN"))
	if n == 0 {
		return nil, errors.New("it holds no PEM block: want a public key or certificates")
	}
	for range n {
		var b *pem.Block
		if b, file = pem.Decode(file); b == nil {
			return nil, errors.New("it holds a PEM block that is broken") // which Decode would skip
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}
