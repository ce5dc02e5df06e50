package ekcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-attestation/oid"
	x509ext "github.com/google/go-attestation/x509"

	"quicklime/wire/tpm"
)

// captured returns a file of the captures. Their certificates are valid from
// 2026-11-23T13:56:22Z and do not expire.
func captured(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	captureTime = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	now         = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

const rsaCapture = "direct-6.1-ima-ng/ek_rsa2048_cert_from_nv.der"

// capturedEK returns the key of the captured EK, as the registrar has it: from
// its public area.
func capturedEK(t testing.TB) crypto.PublicKey {
	t.Helper()
	p, err := tpm.ParsePublic(captured(t, "direct-6.1-ima-ng/ek_rsa2048.pub.tpm2b_public.bin")[2:])
	if err != nil {
		t.Fatal(err)
	}
	return p.Key()
}

func anchorsOf(t testing.TB, files ...[]byte) (a Anchors) {
	t.Helper()
	for _, f := range files {
		if err := a.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// vendor is a TPM vendor: a CA, and an EK to certify.
type vendor struct {
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
	ek  *ecdsa.PrivateKey
}

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{key: newKey(t), ek: newKey(t)}
	v.ca = v.certify(t, caTemplate("vendor"), v.key.Public(), nil)
	return v
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

// ekTemplate is an EK certificate as the profile wants it.
func ekTemplate(t testing.TB) *x509.Certificate {
	t.Helper()
	return &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    now.AddDate(-1, 0, 0), NotAfter: now.AddDate(10, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageKeyAgreement,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{oid.EKCertificate},
		ExtraExtensions:    []pkix.Extension{san(t, "id:49465800")},
	}
}

func san(t testing.TB, manufacturer string) pkix.Extension {
	t.Helper()
	e, err := x509ext.MarshalSubjectAltName(&x509ext.SubjectAltName{DirectoryNames: []pkix.Name{{
		ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oid.TPMManufacturer, Value: manufacturer},
			{Type: oid.TPMModel, Value: "test"},
			{Type: oid.TPMVersion, Value: "id:00010002"},
		},
	}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// certify signs with the vendor's key; a nil parent is the certificate itself.
func (v *vendor) certify(t testing.TB, template *x509.Certificate, key crypto.PublicKey, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, v.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// endorse certifies the vendor's EK after a change of the template.
func (v *vendor) endorse(t testing.TB, change func(*x509.Certificate)) []byte {
	t.Helper()
	c := ekTemplate(t)
	if change != nil {
		change(c)
	}
	return v.certify(t, c, v.ek.Public(), v.ca).Raw
}

func rsaKey(t testing.TB, bits int) crypto.PublicKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}
