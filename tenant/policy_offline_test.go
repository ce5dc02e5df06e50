package tenant

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// captured reads a file of the captured machines.
func captured(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/captures/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verificationKeys is the member that lists the keys of certificates.
func verificationKeys(t *testing.T, certificates ...string) string {
	t.Helper()
	var ids []uint32
	var keys []string
	for _, name := range certificates {
		k, err := digsig.ParseKey(captured(t, "ca/"+name))
		if err != nil {
			t.Fatal(err)
		}
		ids, keys = append(ids, k.ID), append(keys, base64.StdEncoding.EncodeToString(k.SPKI()))
	}
	inner, err := json.Marshal(map[string]any{"meta": map[string]int{"version": 1}, "keyids": ids, "pubkeys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`"verification-keys":%q`, inner)
}

func TestI21_PolicyValidateTellsWhatAPolicySays(t *testing.T) {
	f := start(t)
	file := f.write(t, "web.json", `{"meta":{"version":1},"zoo":1,
		"digests":{"/a":["`+hexSum("a")+`","`+strings.Repeat("ab", 20)+`"],"/b c":["`+hexSum("b")+`"],"boot_aggregate":["`+hexSum("c")+`"]},
		"excludes":["/tmp/.*","/var/"],"keyrings":{".ima":["`+hexSum("k")+`"]},"ima-buf":{"kexec-cmdline":["`+hexSum("k")+`"]},
		"ima":{"ignored_keyrings":["*"],"violations":"warn","templates":["d-ng|n-ng|iuid"],"dm_policy":{"version":1,"match_on":"uuid","rules":{"root":{"required":false,"device_resume_required":false,"table_load":{"allow_multiple_loads":false,"name":null,"uuid":"u","major":null,"minor":null,"minor_count":null,"num_targets":0,"targets":[]}}}}},
		"deny":{"digests":["`+hexSum("d")+`"],"paths":["/opt/.*"]},`+verificationKeys(t, "x509_ima.der", "x509_ima_ec.der")+`}`)
	o := f.run(t, "policy", "validate", file)
	got := strings.NewReplacer(file, "web.json", hexSum("c"), "C", hexSum("d"), "D").Replace(o.stdout)
	lines := strings.Split(got, "\n")
	for i, l := range lines {
		if at := strings.Index(l, "SPKI sha256:"); at > 0 {
			lines[i] = l[:at] + "SPKI"
		}
		if at := strings.Index(l, "digest            sha256:"); at > 0 {
			lines[i] = l[:at] + "digest"
		}
	}
	want := `web.json: can be used
  digest
  files             3 paths: 1 sha1, 2 sha256
  boot_aggregate    1: sha256:C
  exclusions        2: /tmp/.*, /var/
  keyrings          1: .ima (1 key)
  ignored keyrings  1: *
  ima-buf           1: kexec-cmdline (1 digest)
  verification key  RSA 2048, id d7f5b5b3, SPKI
  verification key  ECDSA P-256, id e9bad551, SPKI
  dm_policy         1 rule by uuid: root
  denied digests    1: sha256:D
  denied paths      1: /opt/.*
  templates         1: d-ng|n-ng|iuid
  violations        warn
  weak_digest       fail
  warning           excludes[1]: "/var/" matches no file, for it must match the whole path: "/var/.*" is all that is below
  unknown member    zoo: it is kept and means nothing
  signature         none
`
	if d := cmp.Diff(want, strings.Join(lines, "\n")); o.code != 0 || d != "" {
		t.Errorf("%d %s\n%s", o.code, o.stderr, d)
	}
	var v validated[*policySummary]
	if o := f.run(t, "policy", "validate", "--json", file); json.Unmarshal([]byte(o.stdout), &v) != nil || !v.Files[0].Valid || v.Files[0].Summary.Digests[pcr.SHA256] != 2 {
		t.Errorf("%+v", o)
	}
	empty := f.write(t, "empty.json", `{"meta":{"version":1}}`)
	for _, args := range [][]string{{"add", "empty", empty}, {"update", "empty", empty}, {"create", "--base", empty, "--violations", "warn"}} {
		if o := f.run(t, append([]string{"policy"}, args...)...); o.code != 0 || !strings.Contains(o.stderr, " says nothing: a machine under it is not evaluated\n") {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o := f.run(t, "policy", "validate", empty); !strings.Contains(o.stdout, "evaluates    nothing: a machine under it is not evaluated\n") {
		t.Errorf("%+v", o)
	}
}

// Every problem of every file is told, with its place and what to write instead.
func TestPolicyValidateExplains(t *testing.T) {
	f := start(t)
	good := f.write(t, "good.json", `{"meta":{"version":1}}`)
	bad := f.write(t, "bad.json", "{\"meta\":{\"version\":1},\n\"digests\":{\"/a\":[\"AB\"]},\n\"excludes\":[\"/a(?=b)\"]}")
	none := f.file("none.json")
	o := f.run(t, "policy", "validate", good, bad, none)
	for _, words := range []string{
		good + ": can be used\n", bad + ": 2 problems\n",
		`  line 2: digests["/a"][0]: "AB": 2 digits are no digest: sha1 has 40, sha256 64, sha384 96, sha512 128; write all of them`,
		`  line 3: excludes[0]: "/a(?=b)": character 3, "(?=": invalid or unsupported Perl syntax (RE2 has no look-around and no references to groups: name what is to match instead`,
		none + ": 1 problem\n", "no such file",
	} {
		if !strings.Contains(o.stdout, words) {
			t.Errorf("stdout lacks %q:\n%s", words, o.stdout)
		}
	}
	if o.code != 1 || o.stderr != "quicklime-tenant: 2 of 3 policies cannot be used\nhint: correct it at the places named\n" {
		t.Errorf("%+v", o)
	}
	var v validated[*policySummary]
	o = f.run(t, "policy", "validate", "--json", bad)
	if json.Unmarshal([]byte(o.stdout), &v) != nil || o.code != 1 || len(v.Files[0].Problems) != 2 || v.Files[0].Problems[1].Line != 3 || v.Files[0].Problems[1].Place != "excludes[0]" {
		t.Errorf("%+v", o)
	}
	if o := f.runWith(t, t.Context(), strings.NewReader("{}"), "policy", "validate", "-"); o.code != 1 || !strings.Contains(o.stdout, "meta.version: missing") {
		t.Errorf("%+v", o)
	}
}

func TestI21_PolicyDiff(t *testing.T) {
	f := start(t)
	before := f.write(t, "before.json", `{"meta":{"version":1},"digests":{"/a":["`+hexSum("1")+`"],"/b":["`+hexSum("1")+`"]},"excludes":["/tmp/.*"]}`)
	var more strings.Builder
	for i := range shownChanges + 1 {
		fmt.Fprintf(&more, `,"/n/%d":["%s"]`, i, hexSum("n"))
	}
	after := `{"meta":{"version":1},"digests":{"/a":["` + hexSum("2") + `"]` + more.String() + `},"deny":{"paths":["/evil"]}}`
	f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hexSum(after), Text: after}}

	o := f.run(t, "policy", "diff", before, "web")
	got := strings.NewReplacer(hexSum("1"), "1", hexSum("2"), "2", hexSum("n"), "n").Replace(o.stdout)
	head := `   CHANGE                            COUNT  EFFECT
+  files newly allowed               11     looser
-  files no longer allowed           1      tighter
~  files allowed with other digests  1      mixed
-  exclusions                        1      tighter
-  denied paths                      1      tighter

files newly allowed: 11
  + /n/0
      + sha256:n
`
	tail := `  + /n/9
      + sha256:n
    and 1 more; --all shows them

files no longer allowed: 1
  - /b
      - sha256:1

files allowed with other digests: 1
  ~ /a
      + sha256:2
      - sha256:1

exclusions: 1
  - /tmp/.*

denied paths: 1
  - /evil
`
	if o.code != exitOtherState || o.stderr != "" || !strings.HasPrefix(got, head) || !strings.HasSuffix(got, tail) {
		t.Errorf("%d %q\n%s", o.code, o.stderr, got)
	}
	for _, c := range []struct {
		args []string
		n    int
	}{{nil, shownChanges}, {[]string{"--all"}, shownChanges + 1}} {
		var d compared
		o := f.run(t, append([]string{"policy", "diff", before, "@web", "--json"}, c.args...)...)
		if json.Unmarshal([]byte(o.stdout), &d) != nil || o.code != exitOtherState || d.Groups[0].Count != shownChanges+1 || len(d.Groups[0].Changes) != c.n {
			t.Errorf("%+v", o)
		}
	}
	f.run(t, "policy", "diff", before, before).want(t, 0, "nothing would change for a machine\n", "")
	empty := strings.NewReader(`{"meta":{"version":1}}`)
	if o := f.runWith(t, t.Context(), empty, "policy", "diff", "web", "-"); o.code != exitOtherState || !strings.Contains(o.stderr, "warning: - says nothing: under it nothing would be evaluated") {
		t.Errorf("%+v", o)
	}
}

// A file counts before a policy of that name, @ asks for the policy, and what is
// neither says so.
func TestPoliciesAreFilesOrNames(t *testing.T) {
	f := start(t)
	t.Chdir(f.dir)
	text := `{"meta":{"version":1},"excludes":["/a"]}`
	f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hexSum(text), Text: text}}
	f.write(t, "web", `{"meta":{"version":1},"excludes":["/b"]}`)
	if o := f.run(t, "policy", "diff", "web", "@web"); !strings.Contains(o.stdout, "+ /a\n") || !strings.Contains(o.stdout, "- /b\n") {
		t.Errorf("%+v", o)
	}
	for arg, words := range map[string]string{
		"none":      "no policy none\nhint: there is no file none here, so it was looked for at the verifier\n",
		"./none":    "open ./none: no such file or directory\n",
		"bad name":  "open bad name: no such file or directory\n",
		"none.json": "no policy none.json",
		"@none":     "no policy none\n",
		"@../x":     "@../x is not @ and the name of a policy\n",
		"list":      "list is not a policy that can be used:\nline 1: want \"{\"",
	} {
		f.write(t, "list", "x")
		if o := f.run(t, "policy", "diff", "web", arg); o.code == 0 || o.stdout != "" || !strings.Contains(o.stderr, words) || strings.HasPrefix(arg, "@") && strings.Contains(o.stderr, "no file") {
			t.Errorf("%s: %+v", arg, o)
		}
	}
}

func TestPolicyTest(t *testing.T) {
	f := start(t)
	policy := f.write(t, "web.json", `{"meta":{"version":1},"digests":{"/usr/bin/a":["`+hexSum("/usr/bin/a")+`"],"/usr/bin/b":["`+hexSum("x")+`"]},"excludes":["/tmp/.*"],"deny":{"paths":["/usr/bin/evil"]}}`)
	paths := []string{"boot_aggregate", "/usr/bin/a", "/tmp/x", "/usr/bin/b", "/usr/bin/evil"}
	const many = wire.MaxKeptFailures + 7
	for i := range many {
		paths = append(paths, fmt.Sprint("/opt/n", i))
	}
	list := listOf(append(paths, "/line\nbreak/x", "noslash")...)
	o := f.runWith(t, t.Context(), bytes.NewReader(list), "policy", "test", policy, "-")
	o.want(t, exitOtherState, fmt.Sprintf(`1014 entries: 1011 would fail; 1 listed, 1 excluded, 0 signed, 0 keys and buffers, 0 violations accepted, 1 boot aggregate

COUNT  FAILURE                                    WHERE           EXAMPLES
%d   ima.validation.ima-ng.not_in_allowlist     /opt            entry 5 n0, entry 6 n1, entry 7 n2, …
1      ima.denied                                 /usr/bin        entry 4 evil
1      ima.validation.ima-ng.not_in_allowlist     "/line\nbreak"  entry 1012 "/line\nbreak/x"
1      ima.validation.ima-ng.not_in_allowlist     noslash         entry 1013 noslash
1      ima.validation.ima-ng.runtime_policy_hash  /usr/bin        entry 3 b

--json has every failure with its digest and what was expected
`, many), "warning: "+noVerdict+"\n")

	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(list)
	w.Close()
	var got tested
	o = f.run(t, "policy", "test", policy, f.write(t, "list.gz", z.String()), "--json")
	if json.Unmarshal([]byte(o.stdout), &got) != nil || o.code != exitOtherState || got.Verdict != "none" || len(got.Failures) != many+4 || got.Groups[0].Count != many {
		t.Fatalf("%+v", o)
	}
	three := uint64(3)
	want := wire.Failure{ID: wire.IMAWrongDigest, Entry: &three, Path: "/usr/bin/b", Got: "sha256:" + hexSum("/usr/bin/b"), Expected: []string{"sha256:" + hexSum("x")}}
	first := got.Failures[0]
	first.Message = ""
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
}

// Signatures and custom templates are judged as the verifier does.
func TestPolicyTestOfACaptureWithSignatures(t *testing.T) {
	f := start(t)
	list := f.write(t, "list", string(captured(t, "direct-6.1-ima-sig-signed/binary_runtime_measurements")))
	both := f.write(t, "both.json", `{"meta":{"version":1},"excludes":["/init"],`+verificationKeys(t, "x509_ima.der", "x509_ima_ec.der")+`}`)
	one := f.write(t, "one.json", `{"meta":{"version":1},`+verificationKeys(t, "x509_ima.der")+`}`)
	var two, single tested
	json.Unmarshal([]byte(f.run(t, "policy", "test", both, list, "--json").stdout), &two)
	json.Unmarshal([]byte(f.run(t, "policy", "test", one, list, "--json").stdout), &single)
	if two.Counts.Signed == 0 || single.Counts.Signed == 0 || two.Counts.Signed <= single.Counts.Signed {
		t.Errorf("%+v, %+v", two.Counts, single.Counts)
	}
}

func TestI21_PolicyTestRefuses(t *testing.T) {
	f := start(t)
	empty := f.write(t, "empty.json", `{"meta":{"version":1}}`)
	policy := f.write(t, "web.json", `{"meta":{"version":1},"excludes":["/tmp/.*"]}`)
	list := listOf("boot_aggregate", "/tmp/a")
	good, cut := f.write(t, "good", string(list)), f.write(t, "cut", string(list[:len(list)-1]))
	foreign := ima.NewFileEntry(pcr.SHA256, make([]byte, sha256.Size), "/x")
	foreign.PCR = 11
	other := f.write(t, "other", string(foreign.AppendTo(list)))
	f.run(t, "policy", "test", policy, good).want(t, 0, "2 entries: 0 would fail; 0 listed, 1 excluded, 0 signed, 0 keys and buffers, 0 violations accepted, 1 boot aggregate\n", "warning: "+noVerdict+"\n")
	for _, c := range []struct{ policy, list, message string }{
		{empty, good, empty + " says nothing: a machine under it is not evaluated\nhint: "},
		{policy, cut, cut + ": entry 1: measurement list ends inside an entry\nhint: LIST is the binary list"},
		{policy, other, other + ": entry 2: an entry for another PCR"},
		{policy, f.file("none"), "no such file"},
	} {
		if o := f.run(t, "policy", "test", c.policy, c.list); o.code != exitFailed || o.stdout != "" || !strings.Contains(o.stderr, c.message) {
			t.Errorf("%+v", o)
		}
	}
}

// What the documentation shows of the format is a policy, with every member.
func TestPolicyOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	text, _, _ := strings.Cut(rest, "```")
	f := start(t)
	o := f.run(t, "policy", "validate", "--json", f.write(t, "web.json", text))
	var v validated[*policySummary]
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || o.code != 0 || len(v.Files[0].Summary.Unknown)+len(v.Files[0].Summary.Warnings) != 0 || len(v.Files[0].Summary.Keys) != 1 {
		t.Errorf("%v, %+v", err, o)
	}
}
