package dsse

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// issue makes a certificate; nil ca: one that its own key signed.
func issue(t testing.TB, key crypto.Signer, ca *x509.Certificate, caKey crypto.Signer, with func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
	}
	with(template)
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCA(t testing.TB, key crypto.Signer, name string, with func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	return issue(t, key, nil, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = name, true, x509.KeyUsageCertSign
		c.NotBefore, c.NotAfter = now.Add(-24*time.Hour), now.Add(24*time.Hour)
		with(c)
	})
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})
}

func plain(*x509.Certificate) {}

func codeSigning(c *x509.Certificate) {
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func TestI12_CarriedCertificateNeedsAConfiguredCA(t *testing.T) {
	caKey, key, other := newECDSA(t, elliptic.P384()), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	ca := newCA(t, caKey, "ca", plain)
	for _, test := range []struct {
		name    string
		cert    *x509.Certificate
		trusted [][]byte
		want    string // "": it verifies
	}{
		{"of the CA, for code signing", issue(t, key, ca, caKey, codeSigning), [][]byte{certPEM(ca)}, ""},
		{"without key usage", issue(t, key, ca, caKey, func(c *x509.Certificate) { codeSigning(c); c.KeyUsage = 0 }), [][]byte{certPEM(ca)}, ""},
		{"nobody configured", issue(t, key, ca, caKey, codeSigning), nil, "neither configured nor of a CA that is"},
		{"of another CA of that name", issue(t, key, ca, caKey, codeSigning), [][]byte{certPEM(newCA(t, other, "ca", plain))}, "neither configured nor of a CA that is"},
		{"self-signed", issue(t, key, nil, nil, codeSigning), [][]byte{certPEM(ca)}, "neither configured nor of a CA that is"},
		{"expired", issue(t, key, ca, caKey, func(c *x509.Certificate) { codeSigning(c); c.NotAfter = now.Add(-time.Minute) }), [][]byte{certPEM(ca)}, "expired or is not yet valid"},
		{"not valid yet", issue(t, key, ca, caKey, func(c *x509.Certificate) { codeSigning(c); c.NotBefore = now.Add(time.Minute) }), [][]byte{certPEM(ca)}, "expired or is not yet valid"},
		{"for servers", issue(t, key, ca, caKey, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), [][]byte{certPEM(ca)}, "incompatible key usage"},
		{"for anything", issue(t, key, ca, caKey, plain), [][]byte{certPEM(ca)}, "does not name code signing"},
		{"for encryption", issue(t, key, ca, caKey, func(c *x509.Certificate) { codeSigning(c); c.KeyUsage = x509.KeyUsageKeyEncipherment }), [][]byte{certPEM(ca)}, "does not name digital signature"},
		{"configured itself", issue(t, key, nil, nil, plain), [][]byte{certPEM(issue(t, key, nil, nil, plain))}, ""},
		{"its key configured", issue(t, key, nil, nil, plain), [][]byte{publicPEM(t, key)}, ""},
		{"configured itself, expired", issue(t, key, nil, nil, plain), [][]byte{certPEM(issue(t, key, nil, nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }))}, "is valid from"},
	} {
		t.Run(test.name, func(t *testing.T) {
			envelope := sign(t, key, test.cert)
			if test.want != "" {
				refused(t, trusting(t, test.trusted...), envelope, test.want)
				return
			}
			v, err := verify(trusting(t, test.trusted...), envelope, now)
			if err != nil || string(v.Payload()) != text {
				t.Errorf("%v", err)
			}
		})
	}
}

// A CA's key whose use is to sign certificates signs no policies.
func TestI12_ACASignsOnlyWhatItsKeyUsageSays(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	ca := newCA(t, key, "ca", plain)
	refused(t, trusting(t, certPEM(ca)), sign(t, key, ca), "does not name code signing")
	refused(t, trusting(t, certPEM(ca)), sign(t, key, nil), "none of a key that is trusted")
	ca = newCA(t, key, "ca", func(c *x509.Certificate) { c.KeyUsage = 0 }) // as "openssl req -x509" makes one
	if _, err := verify(trusting(t, certPEM(ca)), sign(t, key, ca), now); err != nil {
		t.Error(err)
	}
}

// A certificate that came with an envelope does not help a signature by another key.
func TestI12_CarriedCertificateIsOfTheSigner(t *testing.T) {
	caKey, key, thief := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	ca := newCA(t, caKey, "ca", plain)
	c := issue(t, key, ca, caKey, codeSigning)
	stolen := change(t, sign(t, key, c), func(d *doc) {
		change(t, sign(t, thief, nil), func(o *doc) { d.Signatures[0].Sig = o.Signatures[0].Sig })
	})
	refused(t, trusting(t, certPEM(ca)), stolen, `that "CN=signer"`)
	if _, _, err := Sign(rand.Reader, RuntimePolicy, []byte(text), thief, c); err == nil {
		t.Error("a policy was signed with another key's certificate")
	}
}

func TestCertificatesAreValidAtATime(t *testing.T) {
	c := read(t, "keylime-x509.crt")
	for at, good := range map[time.Time]bool{
		now: true, now.AddDate(0, 2, 0): false, now.AddDate(0, -2, 0): false, {}: false,
	} {
		if _, err := verify(trusting(t, c), read(t, "keylime-x509.json"), at); (err == nil) != good {
			t.Errorf("at %v: %v", at, err)
		}
	}
}
