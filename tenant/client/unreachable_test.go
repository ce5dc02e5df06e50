package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// installation is a CA with a tenant's certificate, and a listener for a server
// whose certificate holds the given host.
func installation(t *testing.T, host string) (dir string, config *tls.Config, l net.Listener) {
	t.Helper()
	dir = t.TempDir()
	ca, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.EnsureClient("tenant", string(rest.RoleOperator)); err != nil {
		t.Fatal(err)
	}
	s, err := ca.Server("verifier", []string{host})
	if err != nil {
		t.Fatal(err)
	}
	if config, err = pki.ClientTLS(dir+"/ca.crt", dir+"/tenant.crt", dir+"/tenant.key"); err != nil {
		t.Fatal(err)
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	server := &http.Server{
		TLSConfig: pki.ServerTLS(ca, s),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"agents":[]}`) }),
		ErrorLog:  log.New(io.Discard, "", 0), // handshakes that are meant to fail
	}
	go func() { defer close(gone); server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close(); l.Close(); <-gone })
	return dir, config, l
}

// banner returns the address of a server that greets and hangs up.
func banner(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, text)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// An answer that does not come is explained by what a person can change.
func TestUnreachable(t *testing.T) {
	dir, good, l := installation(t, "127.0.0.1")
	_, stranger, _ := installation(t, "127.0.0.1")
	_, named, elsewhere := installation(t, "verifier.example")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	mute, ssh := banner(t, ""), banner(t, "SSH-2.0-OpenSSH\r\n")
	noCertificate := &tls.Config{RootCAs: good.RootCAs}
	wrongCertificate := &tls.Config{RootCAs: good.RootCAs, Certificates: stranger.Certificates}
	for _, c := range []struct {
		name, address string
		config        *tls.Config
		message, hint string
	}{
		{"nothing listens", closed.Addr().String(), good, "connection refused", "is quicklime-verifier running there?"},
		{"another CA", l.Addr().String(), stranger, "unknown authority", "set ca in tenant.toml"},
		{"another name", elsewhere.Addr().String(), named, "127.0.0.1", "by a name that its certificate holds (verifier_url)"},
		{"no client certificate", l.Addr().String(), noCertificate, "certificate required", "set certificate and key in tenant.toml"},
		{"another CA's client certificate", l.Addr().String(), wrongCertificate, "tls:", "set certificate and key in tenant.toml"},
		{"no TLS", strings.TrimPrefix(plain.URL, "http://"), good, "no TLS is spoken there", "something else than the verifier listens there"},
		{"SSH", ssh, good, "no TLS is spoken there", "something else than the verifier listens there"},
		{"hangs up", mute, good, "", "the log of quicklime-verifier"},
	} {
		v, err := NewVerifier("https://"+c.address, c.config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Agents(t.Context())
		var u *Unreachable
		if !errors.As(err, &u) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "cannot reach verifier at https://"+c.address+": ") || !strings.Contains(err.Error(), c.message) || !strings.Contains(u.Hint, c.hint) {
			t.Errorf("%s: %v\nhint: %s", c.name, err, u.Hint)
		}
	}
	v, err := NewVerifier("https://"+l.Addr().String(), good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Agents(t.Context()); err != nil {
		t.Errorf("the good case, of %s: %v", dir, err)
	}
}

// What the network cannot be made to say here.
func TestExplain(t *testing.T) {
	p, err := newPeer("registrar", "https://registrar.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	for hint, err := range map[string]error{
		"set registrar_url in tenant.toml to a name": &net.DNSError{Err: "no such host", Name: "registrar.example"},
		"check the clocks":                           x509.CertificateInvalidError{Reason: x509.Expired},
	} {
		if got, cause := p.explain(fmt.Errorf("wrapped: %w", err)); !strings.HasPrefix(got, hint) || strings.Contains(cause.Error(), "wrapped") {
			t.Errorf("%v: %v, hint %q", err, cause, got)
		}
	}
}

func TestNoAnswerInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := NewVerifier("https://verifier.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		v.http.Transport = silence{}
		_, err = v.Agents(t.Context())
		var u *Unreachable
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "no answer in time") || !strings.Contains(u.Hint, "firewall") {
			t.Errorf("%v", err)
		}
	})
}

// silence answers no request.
type silence struct{}

func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
