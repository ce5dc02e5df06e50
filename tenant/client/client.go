// Package client speaks the REST APIs of registrar and verifier, with the types
// of quicklime/wire/rest.
//
// An error is one of three kinds: a *rest.Error is the server's own answer; an
// *Unreachable says that no answer came, and what to do; anything else is an
// answer that is not of this API.
package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"quicklime/wire/rest"
)

const (
	// MaxAnswer bounds one answer: a list of 100,000 agents at some 600 bytes
	// each, or one runtime policy.
	MaxAnswer = rest.MaxBody // bytes

	// CallTimeout bounds one call whose context has no nearer deadline: what the
	// server takes for the largest policy, a minute for its body included.
	CallTimeout = rest.AnswerTimeout

	// dialTimeout bounds TCP and TLS handshake: they need no disk.
	dialTimeout = 10 * time.Second
)

// A peer is one of the two servers.
type peer struct {
	name string // "registrar", for errors
	base *url.URL
	http *http.Client
}

// newPeer checks base, as in "https://localhost:8891", and makes the connections
// to it use t.
func newPeer(name, base string, t *tls.Config) (*peer, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("%s URL: %w", name, err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s URL %q is not of the form https://host:port", name, base)
	}
	return &peer{name, u, &http.Client{
		Timeout: CallTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     t,
			TLSHandshakeTimeout: dialTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Registrar calls the registrar's API. Its methods may be called at any time
// from any goroutine.
type Registrar struct{ *peer }

// NewRegistrar returns a client of the registrar at base ("https://host:port")
// that identifies itself as t says, see pki.ClientTLS. It does not connect.
func NewRegistrar(base string, t *tls.Config) (*Registrar, error) {
	p, err := newPeer("registrar", base, t)
	return &Registrar{p}, err
}

// Verifier calls the verifier's API. Its methods may be called at any time from
// any goroutine.
type Verifier struct{ *peer }

// NewVerifier returns a client of the verifier as NewRegistrar does of the
// registrar.
func NewVerifier(base string, t *tls.Config) (*Verifier, error) {
	p, err := newPeer("verifier", base, t)
	return &Verifier{p}, err
}

// call makes one call and reads the answer into an Out.
func call[Out any](ctx context.Context, p *peer, r request) (out Out, err error) {
	err = p.do(ctx, r, &out)
	return out, err
}
