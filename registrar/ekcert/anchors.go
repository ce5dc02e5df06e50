package ekcert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Anchors are the CA certificates that the operator trusts to sign EK
// certificates. The zero Anchors trusts nobody.
type Anchors struct {
	certificates []*x509.Certificate
}

// Add adds the certificates of one file: PEM blocks, or one certificate in DER.
// It refuses a file without a certificate, and a certificate that is no CA's:
// an anchor that never anchors anything is a mistake to hear of at the start. Of
// a file that it refuses it adds nothing.
func (a *Anchors) Add(file []byte) error {
	blocks, err := split(file)
	if err != nil {
		return err
	}
	var certificates []*x509.Certificate
	for _, der := range blocks {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if !c.BasicConstraintsValid || !c.IsCA {
			return fmt.Errorf("the certificate of %q is not a CA's", c.Subject)
		}
		certificates = append(certificates, c)
	}
	a.certificates = append(a.certificates, certificates...)
	return nil
}

// Len returns how many certificates there are.
func (a Anchors) Len() int { return len(a.certificates) }

// split returns the DER of every certificate in file.
func split(file []byte) (der [][]byte, err error) {
	blocks := bytes.Count(file, []byte("-----BEGIN"))
	if blocks == 0 {
		return [][]byte{file}, nil
	}
	for range blocks {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return nil, errors.New("it holds a PEM block that is broken") // which Decode would skip
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a PEM block %q, want only certificates", block.Type)
		}
		der = append(der, block.Bytes)
	}
	return der, nil
}

// verify checks that c was signed by an anchor and that both are valid at now.
// Nothing stands between them: an intermediate CA is an anchor or unknown.
func (a Anchors) verify(c *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	for _, anchor := range a.certificates {
		pool.AddCert(anchor)
	}
	_, err := c.Verify(x509.VerifyOptions{
		Roots:       pool, // never nil, which would mean the system's
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // Check looks at the usages of an EK itself
	})
	return err
}
