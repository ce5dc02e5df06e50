package ekcert

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/google/go-attestation/oid"

	"quicklime/wire"
)

func TestI23_CheckCaptured(t *testing.T) {
	anchors := anchorsOf(t, captured(t, "ca/issuercert.pem"), captured(t, "ca/swtpm-localca-rootca-cert.pem"))
	nv := captured(t, rsaCapture)
	for name, at := range map[string]time.Time{
		"when it was issued": captureTime,
		"in the year 9999":   time.Date(9999, 12, 31, 23, 59, 58, 0, time.UTC),
	} {
		e, err := Check([][]byte{nv}, capturedEK(t), anchors, at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !e.Trusted() || !bytes.Equal(e.Certificate(), nv) || e.Vendor() != "id:00001014" {
			t.Errorf("%s: trusted %v, vendor %q", name, e.Trusted(), e.Vendor())
		}
	}
	if _, err := Check([][]byte{nv}, capturedEK(t), anchors, captureTime.AddDate(0, 0, -2)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("before it was issued: %v, want ErrUntrusted", err)
	}
}

func TestI23_CheckAnchors(t *testing.T) {
	nv, ek := captured(t, rsaCapture), capturedEK(t)
	for name, a := range map[string]Anchors{
		"none":          {},
		"root only":     anchorsOf(t, captured(t, "ca/swtpm-localca-rootca-cert.pem")),
		"another CA":    anchorsOf(t, newVendor(t).ca.Raw),
		"the same name": anchorsOf(t, namesake(t)),
	} {
		if e, err := Check([][]byte{nv}, ek, a, captureTime); !errors.Is(err, ErrUntrusted) || e.Trusted() {
			t.Errorf("%s: trusted %v, error %v, want ErrUntrusted", name, e.Trusted(), err)
		}
	}
	if _, err := Check([][]byte{nv}, ek, anchorsOf(t, captured(t, "ca/issuercert.pem")), captureTime); err != nil {
		t.Errorf("the issuer alone: %v", err)
	}
}

// namesake is a CA that calls itself what the captured EK's issuer is called.
func namesake(t *testing.T) []byte {
	v := newVendor(t)
	return v.certify(t, caTemplate("swtpm-localca"), v.key.Public(), nil).Raw
}

func TestI23_CheckIntermediateOfTheAgent(t *testing.T) {
	v := newVendor(t)
	middle := &vendor{key: newKey(t), ek: newKey(t)}
	middle.ca = v.certify(t, caTemplate("middle"), middle.key.Public(), v.ca)
	leaf := middle.endorse(t, nil)
	if _, err := Check([][]byte{leaf, middle.ca.Raw}, middle.ek.Public(), anchorsOf(t, v.ca.Raw), now); !errors.Is(err, ErrUntrusted) {
		t.Errorf("with the agent's own intermediate: %v, want ErrUntrusted", err)
	}
	if _, err := Check([][]byte{leaf}, middle.ek.Public(), anchorsOf(t, v.ca.Raw, middle.ca.Raw), now); err != nil {
		t.Errorf("with the intermediate as an anchor: %v", err)
	}
}

func TestI23_CheckFindsTheEKs(t *testing.T) {
	anchors := anchorsOf(t, captured(t, "ca/issuercert.pem"))
	rsa, ecc := captured(t, rsaCapture), captured(t, "direct-6.1-ima-ng/ek_ecc384_cert_from_nv.der")
	e, err := Check([][]byte{ecc, {0x30}, rsa}, capturedEK(t), anchors, captureTime)
	if err != nil || !bytes.Equal(e.Certificate(), rsa) {
		t.Errorf("among others: error %v, certificate %x", err, e.Certificate())
	}
	for name, certificates := range map[string][][]byte{
		"of another EK":  {ecc},
		"no certificate": {{0x30}},
		"empty":          {{}},
	} {
		if e, err := Check(certificates, capturedEK(t), anchors, captureTime); !errors.Is(err, ErrMismatch) || e.Trusted() {
			t.Errorf("%s: trusted %v, error %v, want ErrMismatch", name, e.Trusted(), err)
		}
	}
	if e, err := Check(nil, capturedEK(t), anchors, captureTime); err != nil || e.Trusted() || e.Certificate() != nil {
		t.Errorf("no certificate at all: trusted %v, error %v", e.Trusted(), err)
	}
}

func TestParseCapturedECC(t *testing.T) {
	c, err := Parse(captured(t, "ca/ek-secp384r1.crt"))
	if err != nil || c.Vendor() != "id:00001014" {
		t.Errorf("vendor %q, error %v", c.Vendor(), err)
	}
}

func TestI04_ParseEveryCut(t *testing.T) {
	for _, name := range []string{rsaCapture, "direct-6.1-ima-ng/ek_ecc384_cert_from_nv.der"} {
		nv := captured(t, name)
		for n := range nv {
			if _, err := Parse(nv[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the first %d of %d bytes: %v, want ErrMalformed", name, n, len(nv), err)
			}
		}
	}
}

func TestI04_ParsePadding(t *testing.T) {
	nv := captured(t, rsaCapture)
	zeros, ones := make([]byte, 100), bytes.Repeat([]byte{0xff}, 7)
	for _, pad := range [][]byte{nil, zeros, ones} {
		c, err := Parse(append(bytes.Clone(nv), pad...))
		if err != nil || !bytes.Equal(c.parsed.Raw, nv) {
			t.Errorf("%d bytes of padding: error %v", len(pad), err)
		}
	}
	for name, tail := range map[string][]byte{
		"another byte":       {1},
		"zeros and ones":     append(bytes.Clone(zeros), 0xff),
		"a certificate":      nv,
		"more than it holds": make([]byte, wire.MaxCertificate),
	} {
		if _, err := Parse(append(bytes.Clone(nv), tail...)); !errors.Is(err, ErrMalformed) {
			t.Errorf("followed by %s: %v, want ErrMalformed", name, err)
		}
	}
}

func TestI23_Profile(t *testing.T) {
	v := newVendor(t)
	anchors := anchorsOf(t, v.ca.Raw)
	if e, err := Check([][]byte{v.endorse(t, nil)}, v.ek.Public(), anchors, now); err != nil || e.Vendor() != "id:49465800" {
		t.Fatalf("the honest certificate: vendor %q, error %v", e.Vendor(), err)
	}
	for name, c := range map[string]struct {
		want   error // nil: accepted
		change func(*x509.Certificate)
	}{
		"no extended key usage":      {nil, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }},
		"does not expire":            {nil, func(c *x509.Certificate) { c.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }},
		"expired":                    {ErrUntrusted, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }},
		"not yet valid":              {ErrUntrusted, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }},
		"a CA":                       {ErrMismatch, func(c *x509.Certificate) { c.IsCA = true }},
		"no basic constraints":       {ErrMismatch, func(c *x509.Certificate) { c.BasicConstraintsValid = false }},
		"for signatures":             {ErrMismatch, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }},
		"for no usage":               {ErrMismatch, func(c *x509.Certificate) { c.KeyUsage = 0 }},
		"for TLS clients":            {ErrMismatch, func(c *x509.Certificate) { tlsClient(c) }},
		"for another extended usage": {ErrMismatch, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}} }},
		"no alternative name":        {ErrMismatch, func(c *x509.Certificate) { c.ExtraExtensions = nil }},
		"a DNS name":                 {ErrMismatch, func(c *x509.Certificate) { c.ExtraExtensions = nil; c.DNSNames = []string{"a.example"} }},
		"no manufacturer":            {ErrMismatch, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{san(t, "")} }},
		"unprintable manufacturer":   {ErrMismatch, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{san(t, "id:\x1b[2J")} }},
		"an endless manufacturer":    {ErrMismatch, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{san(t, string(make([]byte, 33)))} }},
		"an unknown critical extension": {ErrMismatch, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}},
	} {
		e, err := Check([][]byte{v.endorse(t, c.change)}, v.ek.Public(), anchors, now)
		if !errors.Is(err, c.want) || e.Trusted() != (c.want == nil) {
			t.Errorf("%s: trusted %v, error %v, want %v", name, e.Trusted(), err, c.want)
		}
	}
}

func tlsClient(c *x509.Certificate) {
	c.UnknownExtKeyUsage = nil
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

func TestEKAndAnotherUsage(t *testing.T) {
	v := newVendor(t)
	der := v.endorse(t, func(c *x509.Certificate) {
		tlsClient(c)
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oid.EKCertificate}
	})
	if _, err := Parse(der); err != nil {
		t.Errorf("tcg-kp-EKCertificate beside another usage: %v", err)
	}
}

func TestOf(t *testing.T) {
	c, err := Parse(captured(t, rsaCapture))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Of(capturedEK(t)) {
		t.Error("the captured certificate is not of the captured EK")
	}
	for name, key := range map[string]any{"another RSA key": rsaKey(t, 2048), "an ECC key": newKey(t).Public(), "none": nil} {
		if c.Of(key) {
			t.Errorf("the captured certificate is of %s", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(captured(f, rsaCapture))
	f.Add(captured(f, "direct-6.1-ima-ng/ek_ecc384_cert_from_nv.der"))
	f.Add(append(captured(f, rsaCapture), 0xff, 0xff))
	f.Add([]byte{0x30, 0x81, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, nv []byte) {
		c, err := Parse(nv)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if !bytes.HasPrefix(nv, c.parsed.Raw) || !printableVendor(c.Vendor()) {
			t.Errorf("%d of %d bytes, vendor %q", len(c.parsed.Raw), len(nv), c.Vendor())
		}
	})
}
