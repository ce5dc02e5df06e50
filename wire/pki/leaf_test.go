package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var hosts = []string{"verifier.example", "127.0.0.1", "localhost", "::1"}

func newServer(t *testing.T, a *Authority, hosts ...string) *Server {
	t.Helper()
	s, err := a.Server("verifier", hosts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func certificate(t *testing.T, s *Server) *tls.Certificate {
	t.Helper()
	c, err := s.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServerCertificate(t *testing.T) {
	a, c := newAuthority(t)
	cert := certificate(t, newServer(t, a, hosts...))
	leaf := cert.Leaf
	for _, h := range hosts {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: h, Roots: poolOf(a.cert), CurrentTime: c.t})
		if err != nil {
			t.Errorf("host %s: %v", h, err)
		}
	}
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.IsCA {
		t.Errorf("key usage %v, CA %v", leaf.ExtKeyUsage, leaf.IsCA)
	}
	if got, want := leaf.NotAfter, c.t.Add(365*24*time.Hour); !got.Equal(want) {
		t.Errorf("valid until %v, want %v", got, want)
	}
	if n := len(cert.Certificate); n != 2 || string(cert.Certificate[1]) != string(a.cert.Raw) {
		t.Errorf("chain of %d certificates, want leaf and authority", n)
	}
	if m := fileMode(t, filepath.Join(a.dir, "verifier.key")); m != "-rw-------" {
		t.Errorf("key file has mode %s", m)
	}
}

// TestServerReissue walks one server's certificate through its life.
func TestServerReissue(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		after  time.Duration
		hosts  []string
		damage string // file to remove
		newKey bool   // the key file is newer than the certificate
		same   bool
	}{
		{name: "nothing changed", hosts: hosts, same: true},
		{name: "hosts in another order and case", hosts: []string{"::1", "LOCALHOST", "127.0.0.1", "verifier.example", "localhost"}, same: true},
		{name: "a third and more remains", after: 243 * day, hosts: hosts, same: true},
		{name: "less than a third remains", after: 244 * day, hosts: hosts},
		{name: "clock was ahead at issue", after: -day, hosts: hosts},
		{name: "another host", hosts: append([]string{"other.example"}, hosts...)},
		{name: "one host less", hosts: hosts[:3]},
		{name: "certificate lost", hosts: hosts, damage: "verifier.crt"},
		{name: "key lost", hosts: hosts, damage: "verifier.key"},
		{name: "crash between key and certificate", hosts: hosts, newKey: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, c := newAuthority(t)
			first := certificate(t, newServer(t, a, hosts...))
			c.t = c.t.Add(tt.after)
			if tt.damage != "" {
				if err := os.Remove(filepath.Join(a.dir, tt.damage)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.newKey {
				if _, err := newKeyFile(filepath.Join(a.dir, "verifier.key")); err != nil {
					t.Fatal(err)
				}
			}
			second := certificate(t, newServer(t, a, tt.hosts...))
			if same := second.Leaf.Equal(first.Leaf); same != tt.same {
				t.Errorf("same certificate: %v, want %v", same, tt.same)
			}
			if _, err := tls.X509KeyPair(readFile(t, a, "verifier.crt"), readFile(t, a, "verifier.key")); err != nil {
				t.Errorf("the files do not fit: %v", err)
			}
		})
	}
}

func readFile(t *testing.T, a *Authority, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestServerRenewsWhileRunning(t *testing.T) {
	a, c := newAuthority(t)
	s := newServer(t, a, hosts...)
	first := certificate(t, s)
	if again := certificate(t, s); again != first {
		t.Error("issued again without need")
	}
	c.t = c.t.Add(300 * 24 * time.Hour)
	second := certificate(t, s)
	if second.Leaf.Equal(first.Leaf) || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed when due")
	}
}

func TestServerThatCannotRenew(t *testing.T) {
	a, c := newAuthority(t)
	s := newServer(t, a, hosts...)
	first := certificate(t, s)
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	c.t = first.Leaf.NotAfter.Add(-time.Hour)
	if got := certificate(t, s); got != first {
		t.Error("want the present certificate while it is in force")
	}
	c.t = first.Leaf.NotAfter.Add(time.Hour)
	if _, err := s.TLSCertificate(); err == nil {
		t.Error("an expired certificate was handed out")
	}
}

func TestI03_ServerRefusesNames(t *testing.T) {
	a, _ := newAuthority(t)
	for _, h := range [][]string{nil, {""}, {"*.example"}, {"a..b"}, {"-a"}, {"host name"}, {"a.example."}} {
		if _, err := a.Server("verifier", h); err == nil {
			t.Errorf("hosts %q were accepted", h)
		}
	}
	for _, n := range []string{"", "ca", "../x", "a/b"} {
		if _, err := a.Server(n, hosts); err == nil {
			t.Errorf("name %q was accepted", n)
		}
	}
}

func TestEnsureClient(t *testing.T) {
	a, _ := newAuthority(t)
	read := func() string { return string(readFile(t, a, "tenant.crt")) }
	ensure := func(role string) {
		t.Helper()
		if err := a.EnsureClient("tenant", role); err != nil {
			t.Fatal(err)
		}
	}
	ensure("operator")
	first := read()
	ensure("operator")
	if read() != first {
		t.Error("issued again without need")
	}
	ensure("auditor")
	certs, err := readCerts(filepath.Join(a.dir, "tenant.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if role := RoleOf(certs[0]); role != "auditor" {
		t.Errorf("role %q after a change of role, want auditor", role)
	}
	if err := a.EnsureClient("tenant", "no role"); err == nil {
		t.Error(`role "no role" was accepted`)
	}
}

func TestI12_RoleOf(t *testing.T) {
	tests := []struct {
		uris []string
		want string
	}{
		{nil, ""},
		{[]string{"urn:x-quicklime:role:operator"}, "operator"},
		{[]string{"https://example.com/", "urn:x-quicklime:role:operator"}, "operator"},
		{[]string{"urn:x-quicklime:role:operator", "urn:x-quicklime:role:auditor"}, ""},
		{[]string{"urn:x-quicklime:role:operator", "urn:x-quicklime:role:operator"}, ""},
		{[]string{"urn:x-quicklime:role:"}, ""},
		{[]string{"urn:x-quicklime:role:operator?x"}, ""},
		{[]string{"urn:x-other:role:operator"}, ""},
	}
	for _, tt := range tests {
		c := &x509.Certificate{}
		for _, s := range tt.uris {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		if got := RoleOf(c); got != tt.want {
			t.Errorf("role of %q is %q, want %q", tt.uris, got, tt.want)
		}
	}
}
