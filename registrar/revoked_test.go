package registrar_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/registrar"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// An operator's certificate that is revoked counts for nothing from then on, on
// connections that are open as on new ones, and on no route.
func TestI12_RevokedOperatorIsRefusedAtOnce(t *testing.T) {
	in := newInstallation(t)
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.EnsureClient("laptop", string(rest.RoleOperator)); err != nil {
		t.Fatal(err)
	}
	thief, connected := in.operator("laptop"), in.operator("laptop")
	url := "https://" + in.at.REST.String() + rest.ListMachines.Pattern
	if got := status(t, connected, "GET", url); got != http.StatusOK {
		t.Fatalf("before: status %d", got)
	}
	in.revoke("laptop")
	for _, route := range rest.RegistrarRoutes {
		url := "https://" + in.at.REST.String() + strings.ReplaceAll(route.Pattern, "{id}", strings.Repeat("0", 64))
		for name, c := range map[string]*http.Client{"connected": connected, "new": thief} {
			if got := status(t, c, route.Method, url); got != http.StatusUnauthorized {
				t.Errorf("%s %s, %s: status %d, want 401", route.Method, route.Pattern, name, got)
			}
		}
	}
	if got := status(t, in.client, "GET", url); got != http.StatusOK {
		t.Errorf("another operator: status %d", got)
	}
	if !strings.Contains(in.log.String(), "a revoked client certificate is refused") {
		t.Errorf("the log does not tell:\n%s", in.log)
	}
}

// What cannot be read revokes nobody who was not, releases nobody who was, and
// keeps a registrar from starting.
func TestI12_MalformedRevocations(t *testing.T) {
	in := newInstallation(t)
	file := filepath.Join(in.cfg.PKIDir, "revoked")
	url := "https://" + in.at.REST.String() + rest.ListMachines.Pattern
	in.revoke("tenant")
	if got := status(t, in.client, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("revoked: status %d, want 401", got)
	}
	if err := os.WriteFile(file, []byte("who?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := status(t, in.client, "GET", url); got != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", got)
	}
	if !strings.Contains(in.log.String(), file+":1: want the SHA-256") {
		t.Errorf("the log does not name file and line:\n%s", in.log)
	}
	in.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := registrar.Run(ctx, in.cfg); err == nil || !strings.Contains(err.Error(), file+":1:") {
		t.Errorf("it starts: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	in.revoke("tenant")
	in.start() // issues tenant.crt anew
	if got := status(t, in.client, "GET", "https://"+in.at.REST.String()+rest.ListMachines.Pattern); got != http.StatusOK {
		t.Errorf("the new certificate: status %d", got)
	}
}

// revoke does what docs/operating.md says.
func (in *installation) revoke(name string) {
	in.t.Helper()
	file := func(name string) string { return filepath.Join(in.cfg.PKIDir, name) }
	pair, err := tls.LoadX509KeyPair(file(name+".crt"), file(name+".key"))
	if err != nil {
		in.t.Fatal(err)
	}
	sum := sha256.Sum256(pair.Certificate[0])
	f, err := os.OpenFile(file("revoked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		in.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(hex.EncodeToString(sum[:]) + "  -\n"); err != nil {
		in.t.Fatal(err)
	}
}
