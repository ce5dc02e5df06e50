package ca

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
)

// ErrOutlives says that a certificate would live longer than its authority.
var ErrOutlives = errors.New("the certificate would outlive its authority")

// A Request is what a certificate is to say.
type Request struct {
	Name   string // a wire.ValidName
	Names  Names
	Public crypto.PublicKey
	Life   time.Duration
}

// Issue signs a certificate. It begins a little before now, for peers whose clocks are
// behind, but not before its authority.
func (a Authority) Issue(r Request, now time.Time) (*x509.Certificate, error) {
	from, until := now.Add(-skew), now.Add(r.Life)
	switch {
	case !wire.ValidName(r.Name):
		return nil, fmt.Errorf("%q cannot name a certificate: want 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'", r.Name)
	case r.Life < time.Second:
		return nil, fmt.Errorf("a certificate lives for a second at least, not %v", r.Life)
	case until.After(a.cert.NotAfter):
		return nil, fmt.Errorf("%w, which ends on %s", ErrOutlives, a.cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(a.cert.NotBefore):
		return nil, fmt.Errorf("the authority begins on %s: the clock is behind", a.cert.NotBefore.UTC().Format(time.RFC3339))
	case from.Before(a.cert.NotBefore):
		from = a.cert.NotBefore
	}
	t, err := template(r.Name, r.Public, from, until)
	if err != nil {
		return nil, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if _, ok := r.Public.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // TLS 1.2 without Diffie-Hellman
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if err := r.Names.put(t); err != nil {
		return nil, err
	}
	return sign(t, a.cert, r.Public, a.key)
}
