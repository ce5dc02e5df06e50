package ca

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What openssl says of certificates and lists is what was meant.
func TestOpenSSLVerifies(t *testing.T) {
	for _, kind := range []KeyKind{P256, RSA3072} {
		t.Run(string(kind), func(t *testing.T) {
			a, r := newAuthority(t, kind), NewRegister(7*day)
			names, err := NewNames([]string{"web.example"}, []string{"192.0.2.1"}, []string{"https://example/web"}, strings.Repeat("0a", 32))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write := func(name string, text []byte) string {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				return file
			}
			good := write("good", MarshalCertificate(issue(t, a, &r, "good", names, 50*day, now)))
			bad := write("bad", MarshalCertificate(issue(t, a, &r, "bad", names, 50*day, now)))
			r.Revoke(r.Find("bad"), "keyCompromise", now)
			der, _, err := a.Revocations(r, now)
			if err != nil {
				t.Fatal(err)
			}
			authority, list := write("ca", MarshalCertificate(a.Certificate())), write("list", MarshalList(der))
			verify := func(cert string, at time.Time, more ...string) string {
				args := append([]string{"verify", "-x509_strict", "-crl_check", "-CAfile", authority, "-CRLfile", list, "-attime", fmt.Sprint(at.Unix())}, more...)
				out, _ := exec.Command("openssl", append(args, cert)...).CombinedOutput()
				return string(out)
			}
			soon := now.Add(time.Minute)
			for _, c := range []struct {
				cert string
				at   time.Time
				more string
				want string
			}{
				{good, soon, "", ": OK"},
				{good, soon, "-purpose sslserver -verify_hostname web.example", ": OK"},
				{good, soon, "-purpose sslclient -verify_ip 192.0.2.1", ": OK"},
				{good, soon, "-verify_hostname other.example", "hostname mismatch"},
				{good, now.Add(51 * day), "", "certificate has expired"},
				{good, now.Add(8 * day), "", "CRL has expired"},
				{bad, soon, "", "certificate revoked"},
			} {
				if got := verify(c.cert, c.at, strings.Fields(c.more)...); !strings.Contains(got, c.want) {
					t.Errorf("%s %s: openssl says %q, want %q", filepath.Base(c.cert), c.more, got, c.want)
				}
			}
		})
	}
}
