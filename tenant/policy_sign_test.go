package tenant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"quicklime/wire/rest"
)

// policySigner has a key to sign policies with; all but f are files.
type policySigner struct {
	f                         *fake
	key, public, cert, lapsed string // lapsed is a certificate that ran out
}

func (f *fake) newSigner(t *testing.T) policySigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		return f.write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	issue := func(until time.Time) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "release"},
			NotBefore: now.Add(-48 * time.Hour), NotAfter: until, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	return policySigner{
		f, write("release.key", "PRIVATE KEY", private), write("release.pub", "PUBLIC KEY", public),
		write("release.crt", "CERTIFICATE", issue(now.Add(time.Hour))), write("lapsed.crt", "CERTIFICATE", issue(now.Add(-time.Hour))),
	}
}

// sign signs a policy and returns the file.
func (s policySigner) sign(t *testing.T, policy string, more ...string) string {
	t.Helper()
	out := s.f.file("signed.json")
	o := s.f.run(t, append([]string{"policy", "sign", policy, "--key", s.key, "-o", out}, more...)...)
	if o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, "signed by ") {
		t.Fatalf("%+v", o)
	}
	return out
}

func TestPolicySignAndVerify(t *testing.T) {
	f := start(t)
	s := f.newSigner(t)
	const text = `{"meta":{"version":1},"excludes":["/tmp/.*"]}`
	policy := f.write(t, "web.json", text)
	signed := s.sign(t, policy)
	o := f.run(t, "policy", "verify", signed, "--key", s.public, "-o", f.file("out"))
	if o.code != 0 || !strings.HasPrefix(o.stdout, "signed by key ") || !strings.HasSuffix(o.stdout, "policy sha256:"+hexSum(text)+"\n") {
		t.Errorf("%+v", o)
	}
	if b, err := os.ReadFile(f.file("out")); err != nil || string(b) != text {
		t.Errorf("the policy is %q, %v", b, err)
	}
	printed := f.run(t, "policy", "sign", policy, "--key", s.key, "--cert", s.cert)
	o = f.runWith(t, t.Context(), strings.NewReader(printed.stdout), "policy", "verify", "-", "--ca", s.cert)
	if o.code != 0 || !strings.HasPrefix(o.stdout, `signed by "CN=release", key `) {
		t.Errorf("%+v", o)
	}
}

// A certificate has to be valid at the time that was asked about.
func TestPolicyVerifyAt(t *testing.T) {
	f := start(t)
	s := f.newSigner(t)
	policy := f.write(t, "web.json", `{"meta":{"version":1}}`)
	o := f.run(t, "policy", "sign", policy, "--key", s.key, "--cert", s.lapsed, "-o", f.file("signed.json"))
	if o.code != 0 || !strings.Contains(o.stderr, "warning: "+s.lapsed+" is not valid now") {
		t.Errorf("%+v", o)
	}
	for at, code := range map[string]int{"": 1, now.Add(-24 * time.Hour).Format(time.DateOnly): 0, now.Add(-2 * time.Hour).Format(time.RFC3339): 0, "yesterday": 2} {
		if o := f.run(t, "policy", "verify", f.file("signed.json"), "--key", s.lapsed, "--at", at); o.code != code {
			t.Errorf("at %q: %+v", at, o)
		}
	}
}

func TestPolicySignAndVerifyRefuse(t *testing.T) {
	f := start(t)
	s := f.newSigner(t)
	policy := f.write(t, "web.json", `{"meta":{"version":1}}`)
	signed := s.sign(t, policy)
	b, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	changed := f.write(t, "changed.json", strings.Replace(string(b), `"payload":"eyJt`, `"payload":"eyJN`, 1))
	other := start(t).newSigner(t)
	open := f.write(t, "open.key", "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := f.write(t, "bad.json", `{"meta":{"version":2}}`)
	for _, c := range []struct {
		args          []string
		code          int
		message, hint string
	}{
		{[]string{"verify", signed, "--key", other.public}, 1, "signed by nobody who is trusted", ""},
		{[]string{"verify", changed, "--key", s.public}, 1, "one of them was changed", ""},
		{[]string{"verify", policy, "--key", s.public}, 1, "not a signed policy", "policy sign"},
		{[]string{"verify", signed, "--key", s.key}, 1, "only the public half belongs here", ""},
		{[]string{"verify", signed}, 2, "--key or --ca", "--help"},
		{[]string{"sign", policy}, 2, "--key", "--help"},
		{[]string{"sign", policy, "--key", open}, 1, "mode 0644", ""},
		{[]string{"sign", policy, "--key", s.public}, 1, "want a private key", ""},
		{[]string{"sign", policy, "--key", s.key, "--cert", s.public}, 1, "want one certificate", ""},
		{[]string{"sign", policy, "--key", s.key, "--cert", other.cert}, 1, "is of another key", ""},
		{[]string{"sign", bad, "--key", s.key}, 1, "meta.version", "places named"},
		{[]string{"sign", signed, "--key", s.key}, 1, "is a signed policy", "policy verify"},
		{[]string{"create", "--base", signed, "--exclude", "/tmp"}, 1, "is a signed policy", "policy verify"},
	} {
		o := f.run(t, append([]string{"policy"}, c.args...)...)
		if o.code != c.code || o.stdout != "" || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
}

// Who signed is shown wherever the policy is, and nothing that a terminal obeys.
func TestSignedPolicyAtTheVerifier(t *testing.T) {
	f := start(t)
	s := f.newSigner(t)
	const text = `{"meta":{"version":1},"mine":1}`
	signed := s.sign(t, f.write(t, "web.json", text))
	envelope, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	by := `"CN=release\x1b", key ` + hexSum("key")
	o := f.run(t, "policy", "add", "web", signed)
	if o.code != 0 || !strings.HasSuffix(o.stdout, "sha256:"+hexSum(text)+"\nsigned by "+by+"\n") || !strings.Contains(o.stderr, "mine is no part of the format") {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "policy", "list")
	if !strings.Contains(o.stdout, `CN=release\x1b  `) {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "policy", "show", "web")
	if o.stdout != text+"\n" || !strings.HasPrefix(o.stderr, "signed by "+by+"; verified 20") {
		t.Errorf("%+v", o)
	}
	f.run(t, "policy", "show", "web", "--signed").want(t, 0, string(envelope), "")
	f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hexSum("other"), Text: "{}", Envelope: string(envelope)}}
	if o := f.run(t, "policy", "show", "web", "--signed"); o.code != 1 || !strings.Contains(o.stderr, "does not have the digest") {
		t.Errorf("%+v", o)
	}
	f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Text: "{}"}}
	if o := f.run(t, "policy", "show", "web", "--signed"); o.code != 1 || o.stdout != "" {
		t.Errorf("%+v", o)
	}
	damaged := f.write(t, "damaged.json", string(envelope[:40]))
	if o := f.run(t, "policy", "add", "db", damaged); o.code != 1 || !strings.Contains(o.stderr, "not a signed policy") {
		t.Errorf("%+v", o)
	}
}
