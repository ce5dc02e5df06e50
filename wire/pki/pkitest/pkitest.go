// Package pkitest is a man in the middle, for tests of whoever verifies a server.
// It is imported by tests only.
package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// Impostors returns what somebody can present who knows everything of a server but
// its key and its authority's: the authority's certificate, and the server's
// chain, leaf first. name is the server's.
func Impostors(t testing.TB, ca *x509.Certificate, chain [][]byte, name string) map[string]tls.Certificate {
	t.Helper()
	rootKey, leafKey := newKey(t), newKey(t)
	authority := &x509.Certificate{Subject: ca.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	own := sign(t, authority, authority, rootKey.Public(), rootKey)
	forged := sign(t, authority, own, ca.PublicKey, rootKey) // the authority's key, which signed nothing of it
	leaf := sign(t, &x509.Certificate{
		DNSNames: []string{name}, Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, own, leafKey.Public(), rootKey)
	present := func(certs ...*x509.Certificate) tls.Certificate {
		c := tls.Certificate{PrivateKey: leafKey}
		for _, cert := range certs {
			c.Certificate = append(c.Certificate, cert.Raw)
		}
		return c
	}
	return map[string]tls.Certificate{
		"of another authority":                       present(leaf, own),
		"of another authority, with the right one's": present(leaf, ca),
		"of both": present(leaf, own, ca),
		"of an authority that claims the right key": present(leaf, forged),
		"of an authority that claims it, with both": present(leaf, forged, ca, own),
		"of nobody": present(leaf),
		"of the server itself, whose key it has not":    {Certificate: chain, PrivateKey: leafKey},
		"of the authority itself, whose key it has not": present(ca, ca),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate for a key that is in force now.
func sign(t testing.TB, template, parent *x509.Certificate, key crypto.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
