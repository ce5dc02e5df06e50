package client

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"quicklime/wire/pki"
	"quicklime/wire/pki/pkitest"
	"quicklime/wire/rest"
)

// A server that is none of the installation's learns neither what is asked nor
// who asks.
func TestI09_NothingIsToldToSomebodyInBetween(t *testing.T) {
	dir, config, _ := installation(t, "localhost")
	ca, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server("verifier", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := server.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for name, certificate := range pkitest.Impostors(t, ca.Certificate(), genuine.Certificate, "localhost") {
		var tried, clients, requests atomic.Int64
		l, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		middle := &http.Server{
			TLSConfig: &tls.Config{
				ClientAuth: tls.RequestClientCert,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
					tried.Add(1)
					return &certificate, nil
				},
				VerifyConnection: func(s tls.ConnectionState) error {
					clients.Add(int64(len(s.PeerCertificates)))
					return nil
				},
			},
			Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }),
			ErrorLog: log.New(io.Discard, "", 0),
		}
		done := make(chan struct{})
		go func() { defer close(done); middle.ServeTLS(l, "", "") }()
		r, err := NewRegistrar("https://localhost:"+port, config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.CreateJoinToken(t.Context(), rest.JoinTokenRequest{Label: "web-1"})
		u, ok := errors.AsType[*Unreachable](err)
		if !ok || !strings.Contains(u.Hint, "somebody is in between") && !strings.Contains(u.Hint, "by a name that its certificate holds") {
			t.Errorf("a certificate %s: %v, hint %+v", name, err, u)
		}
		middle.Close()
		<-done
		if tried.Load() == 0 || clients.Load()+requests.Load() > 0 {
			t.Errorf("a certificate %s: of %d handshakes he learned %d certificates and %d requests", name, tried.Load(), clients.Load(), requests.Load())
		}
	}
}
