// Package ca is a certification authority of the operator's own, for the certificates
// that machines carry once they are trusted: X.509 (RFC 5280), and Keylime's
// certificate package. It is pure: package quicklime/tenant/ca/state keeps it in a
// directory.
//
// The authority signs leaves and revocation lists only:
//
//	               authority             leaf
//	basic constr.  CA, path length 0     not a CA        critical
//	key usage      keyCertSign, cRLSign  digitalSignature, and keyEncipherment for RSA; critical
//	extended       none                  serverAuth, clientAuth
//	key ids        subject               subject, authority: SHA-256 of the key's bits, cut to 160 (RFC 7093, section 2)
//	serial         128 random bits
//
// A leaf lives no longer than its authority. Its subject is a common name alone, which
// also names its files; what peers are to check is in its subject alternative names. An
// agent's is the URI urn:x-quicklime:agent:ID.
//
// This is not the authority of an installation, quicklime/wire/pki, which the daemons
// keep for themselves and agents have pinned.
package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"quicklime/wire"
)

// An Authority can sign. Its zero value cannot.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// New makes an authority with a new key, whose certificate lives for life from now. It
// begins a little earlier, for peers whose clocks are behind.
func New(name string, kind KeyKind, life time.Duration, now time.Time) (Authority, error) {
	if name == "" || !wire.Printable(name, maxCommonName) {
		return Authority{}, fmt.Errorf("%q cannot name an authority: want 1 to %d printable bytes", name, maxCommonName)
	}
	key, err := kind.Generate()
	if err != nil {
		return Authority{}, err
	}
	t, err := template(name, key.Public(), now.Add(-skew), now.Add(life))
	if err != nil {
		return Authority{}, err
	}
	t.IsCA, t.MaxPathLenZero = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	c, err := sign(t, t, key.Public(), key)
	if err != nil {
		return Authority{}, err
	}
	return Authority{c, key}, nil
}

// Load returns the authority of a certificate and its key. The certificate may have
// ended: then the authority signs no leaf.
func Load(cert *x509.Certificate, key crypto.Signer) (Authority, error) {
	switch {
	case !samePublic(key.Public(), cert.PublicKey):
		return Authority{}, errors.New("certificate and key do not belong together")
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 || cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return Authority{}, errors.New("the certificate is not one of an authority that signs certificates and revocation lists")
	case cert.CheckSignatureFrom(cert) != nil:
		return Authority{}, errors.New("the certificate is not signed by its own key")
	}
	return Authority{cert, key}, nil
}

// Certificate returns the authority's certificate.
func (a Authority) Certificate() *x509.Certificate { return a.cert }

// Key returns the authority's key.
func (a Authority) Key() crypto.Signer { return a.key }

// template returns what every certificate has. Times of X.509 are whole seconds.
func template(name string, public crypto.PublicKey, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	id, err := keyID(public)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             from.UTC().Truncate(time.Second),
		NotAfter:              until.UTC().Truncate(time.Second),
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
	}, nil
}

func sign(t, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
