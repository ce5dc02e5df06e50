package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// client issues a client certificate and returns it with its line for the file.
func client(t *testing.T, a *Authority, name string) (c *x509.Certificate, line string) {
	t.Helper()
	if err := a.EnsureClient(name, "operator"); err != nil {
		t.Fatal(err)
	}
	certs, err := readCerts(filepath.Join(a.dir, name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	f := fingerprintOf(certs[0])
	return certs[0], hex.EncodeToString(f[:])
}

func revoke(t *testing.T, a *Authority, text string) {
	t.Helper()
	if err := os.WriteFile(a.revokedFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestI12_RevokedAtOnceAndForGood(t *testing.T) {
	a, _ := newAuthority(t)
	first, one := client(t, a, "tenant")
	second, two := client(t, a, "laptop")
	var log bytes.Buffer
	r, err := a.Revocations(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, roleOfFirst, roleOfSecond string) {
		t.Helper()
		if got := r.RoleOf(first); got != roleOfFirst {
			t.Errorf("%s: the first has role %q, want %q", when, got, roleOfFirst)
		}
		if got := r.RoleOf(second); got != roleOfSecond {
			t.Errorf("%s: the second has role %q, want %q", when, got, roleOfSecond)
		}
	}
	want("without a file", "operator", "operator")
	revoke(t, a, "# who left\n\n"+one+"  -\r\n")
	want("one line", "revoked", "operator")
	revoke(t, a, "")
	want("the file was emptied", "revoked", "operator")
	if err := os.Remove(a.revokedFile()); err != nil {
		t.Fatal(err)
	}
	want("the file is gone", "revoked", "operator")
	revoke(t, a, "not a fingerprint\n"+two+" laptop")
	want("a malformed line before", "revoked", "revoked")
	if s := log.String(); strings.Count(s, "cannot be read") != 1 || !strings.Contains(s, a.revokedFile()+":1: want the SHA-256") {
		t.Errorf("the log must say once what is wrong:\n%s", s)
	}
	for _, line := range []string{one, two} {
		if strings.Count(log.String(), "in use\" name") != 2 || !strings.Contains(log.String(), line) {
			t.Errorf("the log must say once which certificates are in use:\n%s", &log)
		}
	}
}

// A new certificate with a new key is issued for one that is revoked.
func TestI12_RenewalDoesNotResurrect(t *testing.T) {
	a, _ := newAuthority(t)
	old, line := client(t, a, "tenant")
	revoke(t, a, line+"\n")
	fresh, _ := client(t, a, "tenant")
	if old.Equal(fresh) || bytes.Equal(old.RawSubjectPublicKeyInfo, fresh.RawSubjectPublicKeyInfo) {
		t.Error("the revoked certificate or its key is still in use")
	}
	r, err := a.Revocations(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.RoleOf(fresh); got != "operator" {
		t.Errorf("the new certificate has role %q", got)
	}
	again, _ := client(t, a, "tenant")
	if !again.Equal(fresh) {
		t.Error("issued again without need")
	}
}

func TestRevocationsRefuse(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"capitals":         {strings.ToUpper(hash), 0o600, ":1: want the SHA-256"},
		"with colons":      {hash + "\nsha256 Fingerprint=0A:0A", 0o600, ":2: want the SHA-256"},
		"cut":              {"#\n" + hash[:63], 0o600, ":2: want the SHA-256"},
		"one digit more":   {hash + "0", 0o600, ":1: want the SHA-256"},
		"indented":         {" " + hash, 0o600, ":1: want the SHA-256"},
		"too long":         {strings.Repeat("#\n", maxRevoked), 0o600, "is larger than"},
		"open to others":   {hash, 0o622, "chmod go-w"},
		"open to a group":  {hash, 0o660, "chmod go-w"},
		"certificate, PEM": {"-----BEGIN CERTIFICATE-----\n", 0o600, ":1: want the SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := newAuthority(t)
			revoke(t, a, tt.text)
			if err := os.Chmod(a.revokedFile(), tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := a.Revocations(slog.New(slog.DiscardHandler))
			wantError(t, err, tt.want)
			wantError(t, a.EnsureClient("tenant", "operator"), tt.want)
		})
	}
}
