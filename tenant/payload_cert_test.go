package tenant

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/tenant/ca"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// certifier is a tenant with an authority, a payload key and a trusted machine.
func certifier(t *testing.T) (f *fake, id string) {
	t.Helper()
	f, id = sender(t)
	if o := f.run(t, "ca", "init", "--life", "100d"); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	return f, id
}

// sendCert sends a certificate for a day.
func (f *fake) sendCert(t *testing.T, id string, flags ...string) outcome {
	t.Helper()
	return f.run(t, append([]string{"payload", "send", id, "--cert", "default", "--accept-ek", id, "--life", "24h"}, flags...)...)
}

// certs are the certificates of the authority.
func (f *fake) certs(t *testing.T) []ca.Entry {
	t.Helper()
	return caRunner{f, f.file("authority")}.certs(t).Certificates
}

// packages counts the packages that the verifier has.
func (f *fake) packages() (count int) {
	for _, p := range f.payloads {
		if p.Kind == string(payload.Certificates) {
			count++
		}
	}
	return count
}

func TestSendCertificate(t *testing.T) {
	f, id := certifier(t)
	f.write(t, "extra", "x")
	o := f.sendCert(t, id, "--dns", "web-1.example", "--include", f.file("extra"), "--json")
	var v payloadView
	if err := json.Unmarshal([]byte(o.stdout), &v); o.code != 0 || err != nil {
		t.Fatalf("%+v, %v", o, err)
	}
	all := f.certs(t)
	if len(all) != 1 || v.Certificate == nil || v.Certificate.Serial != all[0].Serial || v.Certificate.Package.SentAt.IsZero() {
		t.Fatalf("%+v, %+v", v.Certificate, all)
	}
	p := f.payloads[id+"/certificate"]
	if p == nil || p.Kind != "certificates" || p.File != "" || !p.Complete || !p.ExpiresAt.Equal(all[0].NotAfter) {
		t.Errorf("%+v", p)
	}
	want := ca.Package{Payload: "certificate", Version: p.Version, Life: 86400, Include: []string{f.file("extra")}, AcceptEK: true, SentAt: now}
	if got := all[0].Package; got == nil || got.Version != want.Version || got.Life != want.Life || got.Payload != want.Payload || !got.AcceptEK || !got.SentAt.Equal(now) || len(got.Include) != 1 || got.Include[0] != want.Include[0] {
		t.Errorf("%+v, want %+v", got, want)
	}
	if n := all[0].Names; n.Agent != id || len(n.DNS) != 1 || n.DNS[0] != "web-1.example" {
		t.Errorf("%+v", n)
	}
	// The key is nowhere on this disk.
	err := filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "authority/cakey") || strings.HasSuffix(path, ".key") {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("PRIVATE KEY")) {
			t.Errorf("%s has a private key", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if o := f.run(t, "ca", "list"); !strings.Contains(o.stdout, "payload certificate") {
		t.Errorf("%+v", o)
	}
	if o := f.sendCert(t, id, "--name", "vpn", "--wait", "--timeout", "10ms"); o.code != 3 || !strings.Contains(o.stdout, "certificate ") || f.payloads[id+"/vpn"] == nil {
		t.Errorf("%+v", o)
	}
}

// What is packed is Keylime's package, whose key is that of its certificate.
func TestCertificatePackageIsKeylimes(t *testing.T) {
	c := newCA(t)
	place := &caPlace{flag: c.dir}
	d, err := place.open()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, err := ca.NewNames([]string{"web.example"}, nil, nil, caAgent)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &program{stdout: &out, stderr: &out, now: func() time.Time { return now }}
	pkg, err := newCertificatePackage(recipient{manifest: payload.Manifest{Version: 7}}, names, ca.P256, life{Duration: time.Hour}, ca.Package{Payload: "certificate", Include: []string{c.write(t, "extra", "x")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.issuePackages(d, pkg); err != nil || pkg.err != nil {
		t.Fatal(err, pkg.err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(pkg.archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil || h.FileInfo().Mode() != 0o600 {
			t.Error(h.Name, h.FileInfo().Mode(), err)
		}
	}
	for _, name := range []string{caAgent + "-private.pem", caAgent + "-public.pem", caAgent + "-cert.crt", "cacert.crt", "cacrl.der", "cacrl.pem", "extra"} {
		if len(files[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	if len(files) != 7 {
		t.Errorf("%d files", len(files))
	}
	pair, err := tls.X509KeyPair(files[caAgent+"-cert.crt"], files[caAgent+"-private.pem"])
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.Subject.CommonName != caAgent || pkg.entry.Serial != d.Register.Certificates[0].Serial || d.Register.Certificates[0].Package.Version != 7 {
		t.Errorf("%+v, %v", leaf, err)
	}
}

// Nothing is issued if it cannot be sent, and what is issued and not sent is not said
// to be sent.
func TestI22_SendCertificateFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, f *fake, id string)
		flags  []string
		code   int
		want   string
		issued int
	}{
		"a file as well":        {nil, []string{"x"}, 2, "AGENT alone", 0},
		"a lifetime of its own": {nil, []string{"--expires", "1h"}, 2, "--expires does not go with --cert", 0},
		"as a file":             {nil, []string{"--as-file"}, 2, "--as-file does not go with --cert", 0},
		"a wildcard":            {nil, []string{"--dns", "*.example"}, 2, "no DNS name", 0},
		"another kind of key":   {nil, []string{"--key", "dsa"}, 2, "--key", 0},
		"beyond the authority":  {nil, []string{"--life", "200d"}, 1, "outlive its authority", 0},
		"a link":                {nil, []string{"--include", "%link"}, 1, "no regular file", 0},
		"one file twice":        {nil, []string{"--include", "%twice", "--include", "%twice"}, 1, "two files", 0},
		"no authority":          {nil, []string{"--cert", "%none"}, 1, "ca init", 0},
		"no payload key":        {func(_ *testing.T, f *fake, _ string) { os.Remove(f.file("payloads/payload.key")) }, nil, 1, "payload key init", 0},
		"another EK":            {nil, []string{"--accept-ek", strings.Repeat("a", 64)}, 1, "accept-ek names", 0},
		"no such machine":       {func(_ *testing.T, f *fake, id string) { delete(f.machines, id) }, nil, 1, "no machine", 0},
		"no room": {func(_ *testing.T, f *fake, _ string) {
			f.failures[rest.AddPayload] = rest.Errorf(rest.CodeTooLarge, "no room").WithHint("withdraw some")
		}, nil, 1, "is not known to have been sent", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, id := certifier(t)
			if err := os.Symlink("/etc/passwd", f.file("link")); err != nil {
				t.Fatal(err)
			}
			f.write(t, "twice", "x")
			if c.change != nil {
				c.change(t, f, id)
			}
			r := strings.NewReplacer("%link", f.file("link"), "%twice", f.file("twice"), "%none", f.file("none"))
			var flags []string
			for _, flag := range c.flags {
				flags = append(flags, r.Replace(flag))
			}
			o := f.sendCert(t, id, flags...)
			all := f.certs(t)
			if o.code != c.code || !strings.Contains(o.stderr, c.want) || len(all) != c.issued || f.packages() > 0 {
				t.Fatalf("%+v, %d certificates", o, len(all))
			}
			if c.issued == 1 && (all[0].Package == nil || !all[0].Package.SentAt.IsZero()) {
				t.Errorf("%+v", all[0].Package)
			}
		})
	}
	f, id := certifier(t)
	if o := f.run(t, "payload", "send", id, f.write(t, "p", "x"), "--dns", "web-1.example"); o.code != 2 || !strings.Contains(o.stderr, "--dns goes with --cert") {
		t.Errorf("%+v", o)
	}
}

// A machine is enrolled with a certificate, or not at all if it cannot have one.
func TestAddWithACertificate(t *testing.T) {
	f, _ := certifier(t)
	m := f.register(machine(t, "web-2"))
	for _, c := range []struct {
		flags string
		code  int
		want  string
	}{
		{"--dns web-2.example", 2, "--dns goes with --cert"},
		{"--cert default --dns *.example", 2, "no DNS name"},
		{"--cert " + f.file("none"), 1, "ca init"},
		{"--cert default --include " + f.file("none"), 1, "no such file"},
	} {
		o := f.run(t, append([]string{"agent", "add", m.ID, "--accept-ek", m.ID}, strings.Fields(c.flags)...)...)
		if o.code != c.code || !strings.Contains(o.stderr, c.want) || len(f.enrolled) > 0 || len(f.certs(t)) > 0 {
			t.Errorf("%s: %+v", c.flags, o)
		}
	}
	o := f.run(t, "agent", "add", m.ID, "--accept-ek", m.ID, "--cert", "default", "--dns", "web-2.example", "--life", "24h", "--payload", f.write(t, "db", "x"))
	all := f.certs(t)
	if o.code != 0 || len(all) != 1 || all[0].Names.Agent != m.ID || all[0].Package.SentAt.IsZero() || !strings.Contains(o.stderr, "payload certificate: waiting, certificate "+all[0].Serial[:12]) {
		t.Fatalf("%+v, %+v", o, all)
	}
	if f.payloads[m.ID+"/certificate"] == nil || f.payloads[m.ID+"/db"] == nil {
		t.Errorf("%v", f.payloads)
	}
	other := f.register(machine(t, "web-3"))
	f.failures[rest.AddPayload] = rest.Errorf(rest.CodeTooLarge, "no room")
	if o := f.run(t, "agent", "add", other.ID, "--accept-ek", other.ID, "--cert", "default"); o.code != 1 || !strings.Contains(o.stderr, "the agent is enrolled, and its certificate could not be sent: no room") || !strings.Contains(o.stderr, "payload send "+other.ID[:12]+" --cert default") {
		t.Errorf("%+v", o)
	}
}
