package tenant

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var caAgent = strings.Repeat("0123456789abcdef", 4)

// caRunner runs commands of an authority of its own.
type caRunner struct {
	*fake
	dir string
}

func newCA(t *testing.T, flags ...string) caRunner {
	t.Helper()
	f := &fake{dir: t.TempDir()} // no server: none is asked
	c := caRunner{f, f.file("ca")}
	if o := c.ca(t, append([]string{"init", "--name", "Test CA"}, flags...)...); o.code != 0 || !strings.HasPrefix(o.stdout, "Test CA, ") {
		t.Fatalf("%+v", o)
	}
	return c
}

func (c caRunner) ca(t *testing.T, args ...string) outcome {
	t.Helper()
	return c.run(t, append([]string{"ca", "--dir", c.dir}, args...)...)
}

// prepareCA has what a call of a command of the authority is about.
func (f *fake) prepareCA(t *testing.T, command string) {
	t.Helper()
	if !strings.HasPrefix(command, "ca ") || command == "ca init" {
		return
	}
	for _, args := range [][]string{{"ca", "init"}, {"ca", "create", "db", "-o", f.dir}} {
		if o := f.run(t, args...); o.code != 0 {
			t.Fatalf("%+v", o)
		}
	}
}

// certs reads the names, states and so on of "ca list --all --json".
func (c caRunner) certs(t *testing.T) certificates {
	t.Helper()
	var l certificates
	o := c.ca(t, "list", "--all", "--json")
	if err := json.Unmarshal([]byte(o.stdout), &l); err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return l
}

func TestCALifeOfACertificate(t *testing.T) {
	c := newCA(t)
	if o := c.ca(t, "list"); o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, "ca create") {
		t.Errorf("an empty list: %+v", o)
	}
	o := c.ca(t, "create", "web", "--dns", "web.example", "--agent", caAgent, "-o", c.fake.dir)
	if o.code != 0 || !strings.Contains(o.stdout, "of web, until 2027-03-04T05:06:07Z") || !strings.Contains(o.stderr, "wrote "+c.file("web-private.pem")) {
		t.Fatalf("%+v", o)
	}
	if _, err := tls.LoadX509KeyPair(c.file("web-cert.crt"), c.file("web-private.pem")); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(c.file("web-private.pem")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	o = c.ca(t, "create", "web", "-o", c.fake.dir)
	if o.code != 1 || !strings.Contains(o.stderr, "file already exists\nhint: move it away") || len(c.certs(t).Certificates) != 1 {
		t.Errorf("again: %+v", o)
	}
	serial := c.certs(t).Certificates[0].Serial
	o = c.ca(t, "list")
	if want := "SERIAL        NAME  KEY   STATE                       FOR\n" + serial[:12] + "  web   p256  until 2027-03-04 05:06 UTC  web.example agent 0123456789ab\n"; o.stdout != want {
		t.Errorf("list:\n%s\nwant:\n%s", o.stdout, want)
	}
	o = c.ca(t, "revoke", serial[:12])
	if o.code != 2 || !strings.Contains(o.stderr, "revoking 1 certificate of web needs your consent") {
		t.Errorf("without consent: %+v", o)
	}
	o = c.ca(t, "revoke", serial[:12], "--reason", "keyCompromise", "--yes")
	if o.code != 0 || !strings.Contains(o.stdout, "revoked "+serial[:12]+" of web\nrevocation list 2, good until 2026-04-03T05:06:07Z") {
		t.Errorf("%+v", o)
	}
	if l := c.certs(t); !l.Certificates[0].Revoked() || l.Certificates[0].Reason != "keyCompromise" || l.CRL.Number != 2 {
		t.Errorf("%+v", l)
	}
	if o := c.ca(t, "list"); !strings.Contains(o.stdout, "revoked just now (keyCompromise)") {
		t.Errorf("%+v", o)
	}
	if o := c.ca(t, "crl"); o.code != 0 || !strings.HasPrefix(o.stdout, "revocation list 3, good until ") {
		t.Errorf("%+v", o)
	}
	pem, err := os.ReadFile(filepath.Join(c.dir, "cacrl.der"))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := x509.ParseRevocationList(pem); err != nil || l.Number.Int64() != 3 || len(l.RevokedCertificateEntries) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestCARefuses(t *testing.T) {
	c := newCA(t, "--life", "10d")
	for _, r := range []struct {
		args string
		code int
		want string
	}{
		{"init", 1, "file already exists\nhint: use the authority that is there"},
		{"create", 2, "takes NAME"},
		{"create ../x", 2, "cannot name a certificate"},
		{"create x --dns *.example", 2, "is no DNS name"},
		{"create x --key rsa512", 2, "is no kind of key"},
		{"create x --life 11d", 1, "would outlive its authority, which ends on 2026-03-14T05:06:07Z\nhint: ask for a shorter --life"},
		{"create x --life 1y", 2, "write it like 90d or 12h"},
		{"create x --life 0d", 2, "a second at least"},
		{"create x -o nowhere", 1, "nowhere is no directory"},
		{"revoke x --yes", 1, "no certificate \"x\"\nhint: "},
		{"revoke x --reason lost --yes", 2, "is no reason"},
		{"package " + caAgent, 2, "name what to write"},
	} {
		if o := c.ca(t, strings.Fields(r.args)...); o.code != r.code || !strings.Contains(o.stderr, r.want) {
			t.Errorf("%s: %+v, want %d and %q", r.args, o, r.code, r.want)
		}
	}
	if n := len(c.certs(t).Certificates); n != 0 {
		t.Errorf("%d certificates were made", n)
	}
	o := c.ca(t, "create", "x", "-o", c.fake.dir)
	if o.code != 0 || !strings.Contains(o.stderr, "ends with the authority") || !strings.Contains(o.stdout, "until 2026-03-14T05:06:07Z") {
		t.Errorf("without --life: %+v", o)
	}
	none := c.run(t, "ca", "--dir", c.file("none"), "list")
	if none.code != 1 || !strings.Contains(none.stderr, "quicklime-tenant ca init") {
		t.Errorf("%+v", none)
	}
	if err := os.Chmod(filepath.Join(c.dir, "cakey.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if o := c.ca(t, "create", "y", "-o", c.fake.dir); o.code != 1 || !strings.Contains(o.stderr, "chmod 600") {
		t.Errorf("a key for all: %+v", o)
	}
}

// A package has the same files as directory, zip and tar, and what is included with
// its mode.
func TestCAPackage(t *testing.T) {
	c := newCA(t)
	c.write(t, "autorun.sh", "#!/bin/sh\n")
	if err := os.Chmod(c.file("autorun.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.file("etc/app"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.write(t, "etc/app/x", "1")
	want := map[string]fs.FileMode{"autorun.sh": 0o700, "etc/app/x": 0o600}
	for _, suffix := range []string{"-private.pem", "-public.pem", "-cert.crt"} {
		want[caAgent+suffix] = 0o600
	}
	for _, name := range []string{"cacert.crt", "cacrl.der", "cacrl.pem"} {
		want[name] = 0o600
	}
	for out, read := range map[string]func(*testing.T, string) map[string]packaged{"p": readDir, "p.zip": readZip, "p.tar": readTar} {
		o := c.ca(t, "package", caAgent, "--life", "12h", "--include", c.file("autorun.sh"), "--include", c.file("etc"), "-o", c.file(out))
		if o.code != 0 || !strings.Contains(o.stdout, "for agent 0123456789ab, until 2026-03-04T17:06:07Z: "+c.file(out)) {
			t.Fatalf("%+v", o)
		}
		files := read(t, c.file(out))
		modes := map[string]fs.FileMode{}
		for name, f := range files {
			modes[name] = f.mode
		}
		if diff := cmp.Diff(want, modes); diff != "" {
			t.Errorf("%s: %s", out, diff)
		}
		pair, err := tls.X509KeyPair(files[caAgent+"-cert.crt"].text, files[caAgent+"-private.pem"].text)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(files["cacert.crt"].text)
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil || pair.Leaf.URIs[0].String() != "urn:x-quicklime:agent:"+caAgent {
			t.Errorf("%s: %v, %v", out, err, pair.Leaf.URIs)
		}
		if again := c.ca(t, "package", caAgent, "-o", c.file(out)); again.code != 1 || !strings.Contains(again.stderr, "move it away") {
			t.Errorf("%s again: %+v", out, again)
		}
	}
	if l := c.certs(t); len(l.Certificates) != 3 || l.CRL.Number != 4 {
		t.Errorf("%+v", l)
	}
	if left, err := filepath.Glob(c.file(".new-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	o := c.ca(t, "revoke", caAgent, "--yes")
	if o.code != 0 || strings.Count(o.stdout, "revoked ") != 3 {
		t.Errorf("%+v", o)
	}
}

// A name that says that it is another archive is no directory's, and nothing is issued.
func TestCAPackageIsNoOtherArchive(t *testing.T) {
	c := newCA(t)
	for _, out := range []string{"p.tar.gz", "p.tgz", "p.tar.XZ", "p.7z/"} {
		if o := c.ca(t, "package", caAgent, "-o", c.file(".")+"/"+out); o.code != 2 || !strings.Contains(o.stderr, "is no archive that is made here") {
			t.Errorf("%s: %+v", out, o)
		}
	}
	if l := c.certs(t); len(l.Certificates) != 0 {
		t.Errorf("%+v", l)
	}
	if o := c.ca(t, "package", caAgent, "-o", c.file("web-1.example")); o.code != 0 {
		t.Errorf("%+v", o)
	}
}

func TestCAPackageTakesFilesOnly(t *testing.T) {
	c := newCA(t)
	if err := os.Symlink("/etc/passwd", c.file("link")); err != nil {
		t.Fatal(err)
	}
	c.write(t, "cacert.crt", "")
	for file, want := range map[string]string{"link": "is no regular file", "absent": "no such file", "cacert.crt": "two files cacert.crt"} {
		o := c.ca(t, "package", caAgent, "--include", c.file(file), "-o", c.file("p.zip"))
		if _, err := os.Stat(c.file("p.zip")); o.code != 1 || !strings.Contains(o.stderr, want) || !os.IsNotExist(err) {
			t.Errorf("%s: %+v, %v", file, o, err)
		}
	}
	if n := len(c.certs(t).Certificates); n != 0 {
		t.Errorf("%d certificates were made", n)
	}
}

// packaged is a file of a package.
type packaged struct {
	mode fs.FileMode
	text []byte
}

func readFS(t *testing.T, f fs.FS) map[string]packaged {
	t.Helper()
	files := map[string]packaged{}
	err := fs.WalkDir(f, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(f, name)
		if err != nil {
			return err
		}
		st, err := d.Info()
		files[name] = packaged{st.Mode(), text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readDir(t *testing.T, dir string) map[string]packaged {
	t.Helper()
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	return readFS(t, os.DirFS(dir))
}

func readZip(t *testing.T, file string) map[string]packaged {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return readFS(t, z)
}

func readTar(t *testing.T, file string) map[string]packaged {
	t.Helper()
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]packaged{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = packaged{h.FileInfo().Mode(), text}
	}
}
