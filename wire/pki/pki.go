// Package pki is an installation's own certification authority: small enough
// that nobody has to run it.
//
// A directory, owned by the daemons' user, holds
//
//	ca.crt, ca.key       the authority, made at the first start
//	NAME.crt, NAME.key   a server or client it issued; NAME.crt is the chain,
//	                     leaf first
//	NAME.pub, NAME.key   a key that signs what no certificate is about
//	revoked              client certificates that count no more, see Revocations
//	.lock                flock(2) of whoever is writing
//
// as PEM (RFC 7468): certificates of X.509 v3, keys in PKCS #8. Every key with a
// certificate is ECDSA on P-256. Key files have mode 0600, and one with a laxer mode is refused
// (I05). Every file is replaced as a whole, key before certificate, so that a
// crash leaves at worst a pair that does not fit, which is issued again.
//
// The authority signs leaves only (path length 0) and lives 20 years; a leaf
// lives one year and is issued again when less than a third of that remains.
// Agents know the authority by its pin, the SHA-256 of its
// SubjectPublicKeyInfo, and verify with VerifyPinned. The clients of the REST
// API are told apart by role: the URI name urn:x-quicklime:role:ROLE in their
// certificate.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"quicklime/wire/conf"
)

const (
	// authorityLife outlives the machines that pinned it: changing an authority
	// means joining every agent anew.
	authorityLife = 20 * 365 * 24 * time.Hour

	// leafLife bounds how long a stolen server or client key is of use.
	leafLife = 365 * 24 * time.Hour

	// skew is how far a peer's clock may be behind ours.
	skew = 5 * time.Minute
)

// Authority is a certification authority in a directory.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// Open opens the authority in dir and makes both if they are absent. Of several
// processes that open at once one makes it.
func Open(dir string) (*Authority, error) { return open(dir, time.Now) }

func open(dir string, now func() time.Time) (*Authority, error) {
	if err := conf.EnsureDir(dir); err != nil {
		return nil, fmt.Errorf("certification authority: %w", err)
	}
	unlock, err := conf.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("certification authority: %w", err)
	}
	defer unlock()
	a := &Authority{dir: dir, now: now}
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("certification authority: %w", err)
	}
	return a, nil
}

// Certificate returns the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Pin returns the SHA-256 of the authority's SubjectPublicKeyInfo.
func (a *Authority) Pin() [32]byte { return pinOf(a.cert) }

func pinOf(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// load reads the authority or makes what is missing of it: certificate and key,
// or the certificate alone if a crash came between them. A key that is lost is
// not replaced, since agents have pinned it.
func (a *Authority) load() error {
	crtFile, keyFile := filepath.Join(a.dir, "ca.crt"), filepath.Join(a.dir, "ca.key")
	_, err := os.Lstat(crtFile)
	haveCert := err == nil
	a.key, err = readKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) && haveCert {
		return fmt.Errorf("%s is there and its key %s is not: restore it from a backup", crtFile, keyFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		a.key, err = newKeyFile(keyFile)
	}
	if err != nil {
		return err
	}
	if !haveCert {
		return a.selfSign(crtFile)
	}
	chain, err := readCerts(crtFile)
	if err != nil {
		return err
	}
	a.cert = chain[0]
	return a.checkSelf(crtFile)
}

// selfSign makes the authority's certificate for its key. Its name holds part
// of the key's hash: two installations are never taken for each other.
func (a *Authority) selfSign(file string) error {
	spki, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		return err
	}
	hash := sha256.Sum256(spki)
	t, err := a.template("Quicklime CA "+hex.EncodeToString(hash[:4]), authorityLife)
	if err != nil {
		return err
	}
	t.IsCA, t.MaxPathLenZero = true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	return writeCerts(file, der)
}

func (a *Authority) checkSelf(file string) error {
	switch c := a.cert; {
	case !a.key.PublicKey.Equal(c.PublicKey):
		return fmt.Errorf("%s and its key do not belong together: restore both from one backup", file)
	case !c.IsCA || c.CheckSignatureFrom(c) != nil:
		return fmt.Errorf("%s is not the certificate of an authority", file)
	case a.now().After(c.NotAfter):
		return fmt.Errorf("%s expired on %s: move the directory away and join every agent anew", file, c.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// template returns what every certificate has: version 3, a random serial of
// 128 bits (RFC 5280, section 4.1.2.2, bounds it to 20 octets), name and life.
func (a *Authority) template(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	now := a.now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(life),
		BasicConstraintsValid: true,
	}, nil
}

func newKeyFile(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, writeKey(file, key)
}
