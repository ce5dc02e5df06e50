package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// maxPresented bounds the certificates that a server may present: our own
// present two.
const maxPresented = 8

// VerifyPinned verifies the certificates that a server presented, leaf first in
// DER, for a client that knows nothing of its authority but the pin. One of them
// must be an authority whose SubjectPublicKeyInfo hashes to pin, and the leaf
// must be a server's certificate for serverName, a DNS name or IP address,
// signed by exactly that authority and in force at now.
//
// Only the authority's key is pinned. What else its certificate says is not
// proven, and need not be: whoever altered it cannot sign a leaf.
func VerifyPinned(rawCerts [][]byte, pin [32]byte, serverName string, now time.Time) error {
	if serverName == "" {
		return errors.New("server certificate: no server name to verify it for")
	}
	if len(rawCerts) == 0 || len(rawCerts) > maxPresented {
		return fmt.Errorf("server certificate: %d certificates presented, want 2", len(rawCerts))
	}
	leaf, err := x509.ParseCertificate(rawCerts[0])
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	if leaf.IsCA {
		return errors.New("server certificate: it is an authority's")
	}
	ca, err := findPinned(rawCerts[1:], pin)
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots:       poolOf(ca),
		DNSName:     serverName,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		CurrentTime: now,
	})
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	return nil
}

// findPinned returns the certificate of the authority whose key hashes to pin.
func findPinned(rawCerts [][]byte, pin [32]byte) (*x509.Certificate, error) {
	for _, raw := range rawCerts {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, err
		}
		if pinOf(c) == pin && c.BasicConstraintsValid && c.IsCA {
			return c, nil
		}
	}
	return nil, errors.New("it is not from the pinned authority: another installation's server, or somebody in between")
}
