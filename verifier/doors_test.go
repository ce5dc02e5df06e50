package verifier_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quicklime/verifier"
	"quicklime/wire/rest"
)

// A machine that came before its enrolment waits on a stranger's place, and has a
// peer's from then on.
func TestAMachineWaitsForItsEnrolment(t *testing.T) {
	in := newInstallation(t, func(c *verifier.Config) { c.MaxAgents = 1 })
	early := in.newHost("early")
	enrolment := early.enrolment()
	early.run()
	in.logs("an agent waits for its enrolment")
	in.call("POST", "/v1/agents", enrolment, nil)
	early.attested()
	if n := in.sessions(early.id); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A walk over every route with every certificate that is none of an operator in
// force.
func TestI12_EveryDoorNeedsAnOperator(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	other := newInstallation(t, func(*verifier.Config) {})
	for name, role := range map[string]string{"guest": "guest", "thief": string(rest.RoleOperator)} {
		if err := in.authority().EnsureClient(name, role); err != nil {
			t.Fatal(err)
		}
	}
	config := func(in *installation) *tls.Config {
		return in.operator("tenant").Transport.(*http.Transport).TLSClientConfig
	}
	anonymous, foreign, machine, server := config(in), config(in), config(in), config(in)
	anonymous.Certificates = nil
	foreign.Certificates = config(other).Certificates
	transport, err := in.newHost("box").device.Transport()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := transport.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	machine.Certificates = []tls.Certificate{certificate}
	pair, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "verifier.crt"), filepath.Join(in.cfg.PKIDir, "verifier.key"))
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{pair}
	late := config(in)
	late.Certificates = []tls.Certificate{in.expired()}
	revoked := in.operator("thief")
	revoke(t, in.cfg.PKIDir, "thief")

	for _, route := range rest.VerifierRoutes {
		for name, c := range map[string]struct {
			client *http.Client
			want   int // 0: no answer at all
		}{
			"anonymous":                        {in.httpClient(anonymous), 0},
			"operator of another installation": {in.httpClient(foreign), 0},
			"transport key of a machine":       {in.httpClient(machine), 0},
			"the server's own":                 {in.httpClient(server), 0},
			"operator of last year":            {in.httpClient(late), 0},
			"guest":                            {in.operator("guest"), http.StatusForbidden},
			"revoked operator":                 {revoked, http.StatusUnauthorized},
		} {
			if got := status(t, c.client, route.Method, in.url(route)); got != c.want {
				t.Errorf("%s %s, %s: status %d, want %d", route.Method, route.Pattern, name, got, c.want)
			}
		}
		if got := status(t, in.client, route.Method, in.url(route)); got == 0 || got == http.StatusForbidden || got == http.StatusUnauthorized || got >= 500 {
			t.Errorf("%s %s, operator: status %d", route.Method, route.Pattern, got)
		}
	}
}

// expired is an operator's certificate that was in force until an hour ago.
func (in *installation) expired() tls.Certificate {
	t := in.t
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "ca.crt"), filepath.Join(in.cfg.PKIDir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	operator, err := tls.LoadX509KeyPair(filepath.Join(in.cfg.PKIDir, "tenant.crt"), filepath.Join(in.cfg.PKIDir, "tenant.key"))
	if err != nil {
		t.Fatal(err)
	}
	template := *operator.Leaf
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, operator.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: operator.PrivateKey}
}

// A start issues another certificate in the place of one that is revoked, and
// does not take the old one back.
func TestI12_RevokedOperatorStaysOut(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	old := in.operator("tenant")
	url := "https://" + in.addr + rest.ListAgents.Pattern
	if got := status(t, old, "GET", url); got != http.StatusOK {
		t.Fatalf("before: status %d", got)
	}
	revoke(t, in.cfg.PKIDir, "tenant")
	if got := status(t, old, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("on an open connection: status %d, want 401", got)
	}
	in.stop()
	in.start()
	url = "https://" + in.addr + rest.ListAgents.Pattern
	if got := status(t, old, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("after a start: status %d, want 401", got)
	}
	if got := status(t, in.client, "GET", url); got != http.StatusOK {
		t.Errorf("the new certificate: status %d", got)
	}
}

// revoke does what docs/operating.md says.
func revoke(t *testing.T, dir, name string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pair.Certificate[0])
	f, err := os.OpenFile(filepath.Join(dir, "revoked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(hex.EncodeToString(sum[:]) + "  -\n"); err != nil {
		t.Fatal(err)
	}
}
