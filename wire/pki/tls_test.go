package pki

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// handshake lets a client talk to the server and returns the client's error and
// the role that the server saw.
func handshake(t *testing.T, server, client *tls.Config) (role string, err error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	roles := make(chan string, 1)
	go func() {
		defer close(roles)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if c.(*tls.Conn).Handshake() == nil {
			roles <- RoleOf(c.(*tls.Conn).ConnectionState().PeerCertificates[0])
			c.Write([]byte("hello"))
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	defer conn.Close()
	_, err = io.ReadFull(conn, make([]byte, 5)) // TLS 1.3: the client learns of a refusal when it reads
	return <-roles, err
}

// openNow makes an authority at the real time, which ClientTLS uses.
func openNow(t *testing.T) (*Authority, *Server) {
	t.Helper()
	a, err := Open(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.EnsureClient("tenant", "operator"); err != nil {
		t.Fatal(err)
	}
	return a, newServer(t, a, "localhost", "127.0.0.1")
}

func clientTLS(t *testing.T, a *Authority, name string) *tls.Config {
	t.Helper()
	file := func(f string) string { return filepath.Join(a.dir, f) }
	c, err := ClientTLS(file("ca.crt"), file(name+".crt"), file(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	c.ServerName = "localhost"
	return c
}

func TestI12_MutualTLS(t *testing.T) {
	a, s := openNow(t)
	b, sb := openNow(t)
	noCert := clientTLS(t, a, "tenant")
	noCert.Certificates = nil
	old := clientTLS(t, a, "tenant")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	foreign := clientTLS(t, b, "tenant")
	foreign.RootCAs = poolOf(a.cert)
	wrongName := clientTLS(t, a, "tenant")
	wrongName.ServerName = "other.example"

	tests := []struct {
		name   string
		server *tls.Config
		client *tls.Config
		role   string
		ok     bool
	}{
		{"operator", ServerTLS(a, s), clientTLS(t, a, "tenant"), "operator", true},
		{"no client certificate", ServerTLS(a, s), noCert, "", false},
		{"client of another authority", ServerTLS(a, s), foreign, "", false},
		{"a server's certificate as client", ServerTLS(a, s), clientTLS(t, a, "verifier"), "", false},
		{"server of another authority", ServerTLS(b, sb), clientTLS(t, a, "tenant"), "", false},
		{"server of another name", ServerTLS(a, s), wrongName, "", false},
		{"TLS 1.2", ServerTLS(a, s), old, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			role, err := handshake(t, tt.server, tt.client)
			if (err == nil) != tt.ok || role != tt.role {
				t.Errorf("role %q, error %v; want role %q, success %v", role, err, tt.role, tt.ok)
			}
		})
	}
}

func TestClientTLSRefuses(t *testing.T) {
	a, _ := openNow(t)
	b, _ := openNow(t)
	file := func(a *Authority, f string) string { return filepath.Join(a.dir, f) }
	tests := []struct{ name, ca, cert, key, want string }{
		{"no authority", file(a, "no.crt"), file(a, "tenant.crt"), file(a, "tenant.key"), "no such file"},
		{"no key", file(a, "ca.crt"), file(a, "tenant.crt"), file(a, "no.key"), "no such file"},
		{"no certificate", file(a, "ca.crt"), file(a, "no.crt"), file(a, "tenant.key"), "no such file"},
		{"key of another", file(a, "ca.crt"), file(a, "tenant.crt"), file(b, "tenant.key"), "do not belong together"},
		{"key where a certificate belongs", file(a, "tenant.key"), file(a, "tenant.crt"), file(a, "tenant.key"), "want PEM blocks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ClientTLS(tt.ca, tt.cert, tt.key)
			wantError(t, err, tt.want)
		})
	}
}

func TestClientTLSExpired(t *testing.T) {
	a, _ := newAuthority(t)
	a.now = (&clock{a.cert.NotBefore.AddDate(-2, 0, 0)}).now
	if err := a.EnsureClient("tenant", "operator"); err != nil {
		t.Fatal(err)
	}
	file := func(f string) string { return filepath.Join(a.dir, f) }
	_, err := ClientTLS(file("ca.crt"), file("tenant.crt"), file("tenant.key"))
	wantError(t, err, "expired on")
}
