package tenant

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// listOf returns a measurement list of files with the digest of their paths.
func listOf(paths ...string) (b []byte) {
	for _, p := range paths {
		d := sha256.Sum256([]byte(p))
		b = ima.NewFileEntry(pcr.SHA256, d[:], p).AppendTo(b)
	}
	return b
}

func hexSum(s string) string {
	d := sha256.Sum256([]byte(s))
	return hex.EncodeToString(d[:])
}

// digestsOf returns the digests of a policy's text, which must compile.
func digestsOf(t *testing.T, text string) map[string][]string {
	t.Helper()
	if _, err := policy.Parse([]byte(text)); err != nil {
		t.Fatalf("not a policy: %v\n%s", err, text)
	}
	var p struct{ Digests map[string][]string }
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p.Digests
}

func TestPolicyCreate(t *testing.T) {
	f := start(t)
	plain := f.write(t, "list", string(listOf("boot_aggregate", "/usr/bin/a", "/tmp/x")))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(listOf("boot_aggregate", "/usr/bin/b"))
	w.Close()
	packed := f.write(t, "list.gz", z.String())
	tool := f.write(t, "tool", "a program")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(tool, link); err != nil {
		t.Fatal(err)
	}
	base := f.write(t, "base.json", `{"meta":{"version":1},"mine":{"kept":[1]},"digests":{"/usr/bin/a":["`+strings.Repeat("ab", 20)+`"]}}`)

	o := f.run(t, "policy", "create", "--base", base, "--from-list", plain, "--from-list", packed,
		"--exclude", "/tmp/.*", "--exclude", "/var/,", "--add-file", "/opt/a=b=sha256:"+hexSum("c"), "--add-file", "/opt/d="+strings.Repeat("cd", 48), "--add", link)
	if o.code != 0 {
		t.Fatalf("%+v", o)
	}
	want := map[string][]string{
		"/usr/bin/a": {strings.Repeat("ab", 20), hexSum("/usr/bin/a")},
		"/usr/bin/b": {hexSum("/usr/bin/b")},
		"/opt/a=b":   {hexSum("c")},
		"/opt/d":     {strings.Repeat("cd", 48)},
		tool:         {hexSum("a program")},
	}
	if diff := cmp.Diff(want, digestsOf(t, o.stdout)); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	var rest struct {
		Mine     struct{ Kept []int }
		Excludes []string
	}
	if err := json.Unmarshal([]byte(o.stdout), &rest); err != nil || len(rest.Mine.Kept) != 1 || !cmp.Equal(rest.Excludes, []string{"/tmp/.*", "/var/,"}) {
		t.Errorf("%+v, %v", rest, err)
	}
	for _, words := range []string{
		plain + ": 3 entries: 1 file of 1 path, 1 excluded, 0 violations, 1 boot aggregate\n",
		packed + ": 2 entries: 1 file of 1 path, 0 excluded, 0 violations, 1 boot aggregate\n",
		"policy: 5 paths, 2 exclusions\n",
	} {
		if !strings.Contains(o.stderr, words) {
			t.Errorf("stderr lacks %q:\n%s", words, o.stderr)
		}
	}
}

// Keys of files are added to those that the base has, each once, and vouch for what a
// kernel measured of files that they signed.
func TestPolicyCreateWithVerificationKeys(t *testing.T) {
	f := start(t)
	const captures = "../testdata/captures/"
	rsa, ec := captures+"ca/x509_ima.der", captures+"ca/x509_ima_ec.der"
	one, both := f.file("one.json"), f.file("both.json")
	for _, args := range [][]string{
		{"--verification-key", rsa, "-o", one},
		{"--base", one, "--verification-key", ec, "--verification-key", rsa, "-o", both},
	} {
		if o := f.run(t, append([]string{"policy", "create"}, args...)...); o.code != 0 {
			t.Fatalf("%+v", o)
		}
	}
	text, err := os.ReadFile(both)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil || len(p.Keys().Keys()) != 2 || strings.Count(string(text), "MIIBIjAN") != 1 {
		t.Errorf("%v, %s", err, text)
	}
	for file, want := range map[string]string{one: " 3 signed", both: " 5 signed"} {
		if o := f.run(t, "policy", "test", file, captures+"direct-6.1-ima-sig-signed/binary_runtime_measurements"); !strings.Contains(o.stdout, want) {
			t.Errorf("%s: want%s: %+v", file, want, o)
		}
	}
	o := f.run(t, "policy", "create", "--verification-key", f.write(t, "key", "no key"))
	if o.code == 0 || !strings.Contains(o.stderr, "--verification-key "+f.file("key")) || !strings.Contains(o.stderr, "evmctl") {
		t.Errorf("%+v", o)
	}
}

func TestPolicyCreateIntoAFile(t *testing.T) {
	f := start(t)
	out := f.file("out.json")
	o := f.run(t, "policy", "create", "--json", "--add-file", "/a="+hexSum("a"), "-o", out)
	text, err := os.ReadFile(out)
	if err != nil || o.code != 0 {
		t.Fatalf("%v, %+v", err, o)
	}
	var c created
	if err := json.Unmarshal([]byte(o.stdout), &c); err != nil || c != (created{File: out, Digest: hexSum(string(text)), Paths: 1}) {
		t.Errorf("%+v, %v", c, err)
	}
	// The same file is base and outcome.
	if o := f.run(t, "policy", "create", "--base", out, "--add-file", "/b="+hexSum("b"), "-o", out); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	text, _ = os.ReadFile(out)
	if d := digestsOf(t, string(text)); len(d) != 2 {
		t.Errorf("%v", d)
	}
}

func TestPolicyCreateFromACapture(t *testing.T) {
	f := start(t)
	const capture = "../testdata/captures/direct-6.1-ima-ng/binary_runtime_measurements"
	list, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	o := f.runWith(t, t.Context(), bytes.NewReader(list), "policy", "create", "--from-list", "-")
	if o.code != 0 || len(digestsOf(t, o.stdout)) < 10 {
		t.Errorf("%+v", o)
	}
}

// What "agent status" shows of a file can be pasted back, whatever the path is.
func TestPolicyCreateTakesPathsAsTheyAreShown(t *testing.T) {
	f := start(t)
	want := map[string][]string{}
	args := []string{"policy", "create"}
	for _, path := range []string{"/plain=x", "/größe", `/a"b`, "/esc\x1b[2J", "/line\nbreak", "/bidi\u202e", `/back\slash`, "boot_aggregate"} {
		args = append(args, "--add-file", printable(appraise.Path([]byte(path)))+"="+hexSum(path))
		want[path] = []string{hexSum(path)}
	}
	o := f.run(t, args...)
	if diff := cmp.Diff(want, digestsOf(t, o.stdout)); o.code != 0 || diff != "" {
		t.Errorf("%+v, digests (-want +got):\n%s", o, diff)
	}
}

// A list with violations makes a policy under which its machine is untrusted,
// unless the operator accepts them; he hears of it.
func TestPolicyCreateFromAListWithViolations(t *testing.T) {
	f := start(t)
	violation := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/log")
	violation.Digest = make([]byte, len(violation.Digest)) // as the kernel writes it
	one := f.write(t, "one", string(violation.AppendTo(listOf("/usr/bin/a"))))
	none := f.write(t, "none", string(listOf("/usr/bin/b")))
	lax := f.write(t, "lax.json", `{"meta":{"version":1},"excludes":["/tmp/.*"],"ima":{"violations":"ignore","mine":1}}`)
	const warning = ": a machine that has any is untrusted under this policy; --violations warn"
	for _, c := range []struct {
		args []string
		want policy.Violations
		says string
	}{
		{[]string{"--from-list", none}, policy.ViolationsFail, ""},
		{[]string{"--from-list", one}, policy.ViolationsFail, "1 violation" + warning},
		{[]string{"--from-list", one, "--from-list", one}, policy.ViolationsFail, "2 violations" + warning},
		{[]string{"--from-list", one, "--violations", "fail"}, policy.ViolationsFail, warning},
		{[]string{"--from-list", one, "--violations", "warn"}, policy.ViolationsWarn, ""},
		{[]string{"--from-list", one, "--violations", "ignore"}, policy.ViolationsIgnore, ""},
		{[]string{"--from-list", one, "--base", lax}, policy.ViolationsIgnore, ""},
		{[]string{"--base", lax, "--violations", "warn"}, policy.ViolationsWarn, ""},
	} {
		o := f.run(t, append([]string{"policy", "create"}, c.args...)...)
		p, err := policy.Parse([]byte(o.stdout))
		if err != nil || p.Violations() != c.want {
			t.Errorf("%v: %v, %+v", c.args, err, o)
		}
		if warned := strings.Contains(o.stderr, "warning"); warned != (c.says != "") || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%v: %+v", c.args, o)
		}
		if strings.Contains(strings.Join(c.args, " "), "lax") && !strings.Contains(o.stdout, `"mine": 1`) {
			t.Errorf("%v: a member is lost: %s", c.args, o.stdout)
		}
	}
}

func TestPolicyListOfNothing(t *testing.T) {
	f := start(t)
	f.run(t, "policy", "list").want(t, 0, "", "the verifier has no policy yet; \"quicklime-tenant policy create\" makes one, and \"quicklime-tenant policy add\" brings it there\n")
	f.run(t, "policy", "list", "--json").want(t, 0, "{\n  \"policies\": []\n}\n", "")
}

func TestPolicyCreateRefuses(t *testing.T) {
	f := start(t)
	bad := f.write(t, "bad", "no list")
	cut := f.write(t, "cut.gz", "\x1f\x8b\x08")
	for _, c := range []struct {
		args          []string
		code          int
		message, hint string
	}{
		{[]string{"--from-list", bad}, 1, bad + ": entry 0", "--from-list takes the binary list"},
		{[]string{"--from-list", cut}, 1, cut + ": ", ""},
		{[]string{"--from-list", f.file("none")}, 1, "no such file", ""},
		{[]string{"--exclude", "(?=a)"}, 1, "excludes[0]", ""},
		{[]string{"--add-file", "/a"}, 2, "is not PATH=DIGEST", "for example"},
		{[]string{"--add-file", "=" + hexSum("a")}, 2, "is not PATH=DIGEST", "for example"},
		{[]string{"--add-file", "/a=xyz"}, 1, `"xyz" is not hexadecimal`, "write the digest"},
		{[]string{"--add-file", "/a=abcd"}, 1, `"abcd" is no digest of`, "write the digest"},
		{[]string{"--add-file", "/a=sha1:" + hexSum("a")}, 1, "is no digest of", "write the digest"},
		{[]string{"--add-file", "bin/a=" + hexSum("a")}, 2, `--add-file "bin/a": the path does not begin with "/"`, "absolute path"},
		{[]string{"--add-file", `"bin/a"=` + hexSum("a")}, 2, `--add-file "bin/a": the path does not begin with "/"`, "absolute path"},
		{[]string{"--add-file", `"/a\q"=` + hexSum("a")}, 2, "is not quoted as Go does it", "single quotes"},
		{[]string{"--add-file", `"/a=` + hexSum("a")}, 2, "is not quoted as Go does it", "single quotes"},
		{[]string{"--add-file", `"/a\xff"=` + hexSum("a")}, 1, `--add-file "/a\xff": no policy can list this`, "--exclude"},
		{[]string{"--add", f.write(t, "b\xff", "x")}, 1, `/b\xff": no policy can list this`, "--exclude"},
		{[]string{"--add", f.file("none")}, 1, "no such file", ""},
		{[]string{"--base", bad, "--exclude", "/tmp"}, 1, bad + " is not a policy", "correct it"},
		{[]string{"--base", bad}, 2, "nothing to make a policy of", ""},
	} {
		o := f.run(t, append([]string{"policy", "create"}, c.args...)...)
		if o.code != c.code || o.stdout != "" || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
}

func TestPolicyAddKeepsTheTextToTheByte(t *testing.T) {
	f := start(t)
	text := "{ \"meta\":{\"version\":1},\n\t\"digests\":{\"/a<b>&\":[\"" + hexSum("a") + "\"]}, \"mine\": 1 }"
	file := f.write(t, "web.json", text)
	sum := hexSum(text)
	f.run(t, "policy", "add", "web", file).want(t, 0, "added web: 1 path, 0 exclusions, sha256:"+sum+"\n",
		"warning: "+file+": mine is no part of the format; it is kept and means nothing\n")
	if got := string(f.policies["web"].Text); got != text {
		t.Errorf("the verifier got %q, want %q", got, text)
	}
	f.run(t, "policy", "show", "web").want(t, 0, text+"\n", "")
	o := f.runWith(t, t.Context(), strings.NewReader(text), "policy", "update", "web", "-")
	if o.code != 0 || !strings.Contains(o.stderr, "2 agents are judged again\n") || o.stdout != "updated web: 1 path, 0 exclusions, sha256:"+sum+"\n" {
		t.Errorf("%+v", o)
	}
	f.run(t, "policy", "list").want(t, 0, fmt.Sprintf(`
NAME  PATHS  EXCLUSIONS  AGENTS  UPDATED  SIGNED BY  SHA-256
web   1      0           2       1 h ago  -          %s
`[1:], sum[:12]), "")
	f.run(t, "policy", "delete", "web").want(t, 0, "deleted web\n", "")
	if o := f.run(t, "policy", "show", "web"); o.code != 1 || !strings.Contains(o.stderr, "no policy web") {
		t.Errorf("%+v", o)
	}
}

// A policy that does not compile is not sent, and everything wrong with it is
// said at once.
func TestPolicyIsCheckedBeforeItIsSent(t *testing.T) {
	f := start(t)
	file := f.write(t, "bad.json", `{"meta":{"version":1},"digests":{"/a":["xx"]},"excludes":["("]}`)
	for _, verb := range []string{"add", "update"} {
		o := f.run(t, "policy", verb, "web", file)
		if o.code != 1 || !strings.Contains(o.stderr, `line 1: digests["/a"][0]`) || !strings.Contains(o.stderr, "excludes[0]") || len(f.policies) != 0 {
			t.Errorf("%s: %+v", verb, o)
		}
	}
	if o := f.run(t, "policy", "add", "web", f.file("none")); o.code != 1 || !strings.Contains(o.stderr, "no such file") {
		t.Errorf("%+v", o)
	}
}

func TestPolicyShowChecksTheDigest(t *testing.T) {
	f := start(t)
	f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hexSum("other"), Text: "{}"}}
	if o := f.run(t, "policy", "show", "web"); o.code != 1 || !strings.Contains(o.stderr, "does not have the digest") || o.stdout != "" {
		t.Errorf("%+v", o)
	}
}

func TestFilesAreBounded(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(make([]byte, 1000))
	w.Close()
	for max, want := range map[int64]bool{999: false, 1000: true} {
		if _, err := readAll(strings.NewReader(strings.Repeat("x", 1000)), "x", max); (err == nil) != want {
			t.Errorf("readAll of 1000 bytes, limit %d: %v", max, err)
		}
		if _, err := gunzip(z.Bytes(), "x", max); (err == nil) != want {
			t.Errorf("gunzip of 1000 bytes, limit %d: %v", max, err)
		}
	}
}

// Keys and buffers of a list are taken unless the operator does not want them, and
// he hears of both, and of what no policy is made of.
func TestPolicyCreateTakesKeysAndBuffers(t *testing.T) {
	f := start(t)
	b := listOf("boot_aggregate", "/usr/bin/a")
	for _, buffer := range [][2]string{{".ima", string(captured(t, "ca/x509_ima.der"))}, {"kexec-cmdline", "quiet"}, {"dm_table_load", "dm_version=4.47.0;"}} {
		e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(buffer[1])), buffer[0])
		e.Template = []byte("ima-buf")
		e.Data = append(binary.LittleEndian.AppendUint32(e.Data, uint32(len(buffer[1]))), buffer[1]...)
		b = e.AppendTo(b)
	}
	list := f.write(t, "list", string(b))
	const devices = ": 1 device-mapper event is not allowed by the policy: write rules for the devices in ima.dm_policy\n"
	for _, c := range []struct {
		options  []string
		words    string
		keyrings int
		buffers  int
	}{
		{nil, "1 boot aggregate, 1 key (.ima), 1 buffer (kexec-cmdline)\n", 1, 1},
		{[]string{"--no-keyrings"}, "1 boot aggregate, 1 key left out, 1 buffer (kexec-cmdline)\n", 0, 1},
		{[]string{"--no-buffers"}, "1 boot aggregate, 1 key (.ima), 1 buffer left out\n", 1, 0},
	} {
		o := f.run(t, append([]string{"policy", "create", "--from-list", list}, c.options...)...)
		p, err := policy.Parse([]byte(o.stdout))
		if err != nil || len(p.Contents().Keyrings) != c.keyrings || len(p.Contents().Buffers) != c.buffers {
			t.Errorf("%v: %v, %+v", c.options, err, o)
		}
		if !strings.Contains(o.stderr, c.words) || !strings.Contains(o.stderr, devices) {
			t.Errorf("%v: %s", c.options, o.stderr)
		}
	}
}
