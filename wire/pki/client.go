package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// EnsureClient issues name.crt and name.key, a client of the REST API with the
// given role, unless they are there and not due.
func (a *Authority) EnsureClient(name, role string) error {
	n, err := roleName(role)
	if err == nil {
		_, err = a.ensure(leaf{name, x509.ExtKeyUsageClientAuth, n})
	}
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	return nil
}

// ClientTLS configures a client of the REST API: its certificate and key, and
// the one authority it trusts. The name to expect of the server is the caller's
// to set, as http.Transport does.
func ClientTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	ca, err := readCerts(caFile)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	chain, err := readCerts(certFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	c := chain[0]
	if !key.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("client certificate: %s and %s do not belong together", certFile, keyFile)
	}
	if time.Now().After(c.NotAfter) {
		return nil, fmt.Errorf("client certificate: %s expired on %s; the daemon that issued it renews it when it starts", certFile, c.NotAfter.Format(time.DateOnly))
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		RootCAs:      poolOf(ca[0]),
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}},
	}, nil
}
