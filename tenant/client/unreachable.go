package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Unreachable says that a server gave no answer.
type Unreachable struct {
	Server string // "registrar" or "verifier"
	URL    string
	Hint   string // what to do next, for a person
	Err    error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("cannot reach %s at %s: %v", u.Server, u.URL, u.Err)
}

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// unreachable explains a transport error. The end of the caller's own context is
// the caller's business and stays what it is.
func (p *peer) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u := &Unreachable{Server: p.name, URL: p.base.String()}
	u.Hint, u.Err = p.explain(err)
	return u
}

// explain finds what a person can do, and the cause about which.
func (p *peer) explain(err error) (hint string, cause error) {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		expired   x509.CertificateInvalidError
		alert     tls.AlertError
		dns       *net.DNSError
		timeout   net.Error
		record    tls.RecordHeaderError
	)
	option := p.name + "_url"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("is quicklime-%s running there? start it, or set %s in tenant.toml", p.name, option), syscall.ECONNREFUSED
	case errors.As(err, &authority):
		return fmt.Sprintf("the %s's certificate is not of the CA this tenant trusts: it is another installation's, or somebody is in between; set ca in tenant.toml to the ca.crt on the %s's own host", p.name, p.name), authority
	case strings.Contains(err.Error(), "tls: invalid signature by the server certificate"): // which is an error of no type
		return fmt.Sprintf("who answers does not have the key of the %s's certificate: somebody is in between, or %s names the wrong server", p.name, option), errors.New("a server that does not prove its certificate")
	case errors.As(err, &name):
		return fmt.Sprintf("reach the %s by a name that its certificate holds (%s), or add this name to its configuration", p.name, option), name
	case errors.As(err, &expired):
		return fmt.Sprintf("check the clocks of both machines; the %s renews its certificate when it starts", p.name), expired
	case errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Sprintf("the %s refused this tenant's certificate; set certificate and key in tenant.toml to a pair that its CA issued", p.name), tlsAlert(err)
	case errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record):
		return fmt.Sprintf("something else than the %s listens there; set %s in tenant.toml", p.name, option), errors.New("no TLS is spoken there")
	case errors.As(err, &dns):
		return fmt.Sprintf("set %s in tenant.toml to a name or address that resolves", option), dns
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("is the %s up and not overloaded, and does a firewall let its port through?", p.name), errors.New("no answer in time")
	}
	return fmt.Sprintf("look at the log of quicklime-%s", p.name), err
}

// tlsAlert strips what net/http put before the alert.
func tlsAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}
