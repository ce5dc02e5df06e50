package pki

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"quicklime/wire"
	"quicklime/wire/conf"
)

// leaf is what a certificate that the authority issues is for.
type leaf struct {
	name  string // of its files and its subject
	usage x509.ExtKeyUsage
	names names
}

// ensure returns name.crt and name.key, issuing them again if they are absent,
// due, revoked, or not what l says. A key file with a lax mode is an error, never
// replaced: whoever reads it could act under it until it expires.
func (a *Authority) ensure(l leaf) (*tls.Certificate, error) {
	if !wire.ValidName(l.name) || l.name == "ca" {
		return nil, fmt.Errorf("%q cannot name a certificate", l.name)
	}
	unlock, err := conf.Lock(a.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	crtFile, keyFile := filepath.Join(a.dir, l.name+".crt"), filepath.Join(a.dir, l.name+".key")
	var revoked map[fingerprint]bool // of clients: no slip in that file ends a server's certificate
	if l.usage == x509.ExtKeyUsageClientAuth {
		if _, revoked, err = a.readRevoked(); err != nil {
			return nil, err
		}
	}
	key, keyErr := readKey(keyFile)
	if keyErr != nil && !errors.Is(keyErr, fs.ErrNotExist) {
		return nil, keyErr
	}
	chain, err := readCerts(crtFile)
	if keyErr == nil && err == nil && key.PublicKey.Equal(chain[0].PublicKey) && a.fits(chain[0], l) && !revoked[fingerprintOf(chain[0])] {
		return tlsCertificate(chain[0], a.cert, key), nil
	}
	if key, err = newKeyFile(keyFile); err != nil {
		return nil, err
	}
	c, err := a.issue(l, key.Public())
	if err != nil {
		return nil, err
	}
	return tlsCertificate(c, a.cert, key), writeCerts(crtFile, c.Raw, a.cert.Raw)
}

// issue signs a certificate of l for the key pub.
func (a *Authority) issue(l leaf, pub any) (*x509.Certificate, error) {
	t, err := a.template(l.name, leafLife)
	if err != nil {
		return nil, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{l.usage}
	t.DNSNames, t.IPAddresses, t.URIs = l.names.dns, l.names.ips, l.names.uris
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// fits reports whether c is ours, is for what l says, and is not due.
func (a *Authority) fits(c *x509.Certificate, l leaf) bool {
	return c.CheckSignatureFrom(a.cert) == nil &&
		c.Subject.CommonName == l.name &&
		slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{l.usage}) &&
		l.names.equal(namesOf(c)) &&
		!due(c, a.now())
}

// due reports whether less than a third of the life of c remains. One that is
// not in force yet is due too: the clock was ahead when it was issued.
func due(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return now.Before(c.NotBefore) || c.NotAfter.Sub(now) < life/3
}

func tlsCertificate(c, ca *x509.Certificate, key any) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.Raw, ca.Raw}, PrivateKey: key, Leaf: c}
}
