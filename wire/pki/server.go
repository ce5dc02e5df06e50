package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
)

// Server is the certificate of one of our servers, renewed as it comes due.
type Server struct {
	authority *Authority
	leaf      leaf

	mu   sync.Mutex
	cert *tls.Certificate // never nil
}

// Server returns the certificate of the server called name ("verifier", see
// wire.ValidName) for hosts: the DNS names and IP addresses under which it is
// reached.
func (a *Authority) Server(name string, hosts []string) (*Server, error) {
	n, err := hostNames(hosts)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	s := &Server{authority: a, leaf: leaf{name, x509.ExtKeyUsageServerAuth, n}}
	if s.cert, err = a.ensure(s.leaf); err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return s, nil
}

// TLSCertificate returns leaf and authority with the leaf's key, issued again
// first if the leaf is due. If that fails the present certificate is good until
// it expires; then the failure is the error.
func (s *Server) TLSCertificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.authority.now()
	if !due(s.cert.Leaf, now) {
		return s.cert, nil
	}
	cert, err := s.authority.ensure(s.leaf)
	if err == nil {
		s.cert = cert
		return cert, nil
	}
	if now.After(s.cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("certificate of %s: %w", s.leaf.name, err)
	}
	return s.cert, nil
}

// ServerTLS configures the REST API: TLS 1.3, and a client certificate for
// clients, of this authority, or no connection.
func ServerTLS(a *Authority, s *Server) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.TLSCertificate() },
		ClientAuth:             tls.RequireAndVerifyClientCert, // checks the key usage clientAuth
		ClientCAs:              poolOf(a.cert),
		SessionTicketsDisabled: true, // every connection shows its certificate
		Time:                   a.now,
	}
}

func poolOf(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}
