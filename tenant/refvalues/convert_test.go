package refvalues

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy"
)

var (
	sha1Hex   = strings.Repeat("a1", 20)
	sha256Hex = strings.Repeat("b2", 32)
	otherHex  = strings.Repeat("c3", 32)
)

func source(name, text string) Source {
	return Source{name, []byte(strings.NewReplacer("$1", sha1Hex, "$2", sha256Hex, "$3", otherHex, "$U", strings.ToUpper(otherHex)).Replace(text))}
}

// outcome is what a conversion made, as far as a test looks.
type outcome struct {
	Form     Form
	Digests  map[string][]string
	Keyrings map[string][]string
	Excludes []string
	Changes  []string
}

func convert(t *testing.T, in, excludes Source) (outcome, []byte) {
	t.Helper()
	c, err := Convert(in, excludes, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Parse(c.Text); err != nil {
		t.Fatalf("the outcome is no policy: %v", err)
	}
	var d struct {
		Digests, Keyrings map[string][]string
		Excludes          []string
	}
	if err := json.Unmarshal(c.Text, &d); err != nil {
		t.Fatal(err)
	}
	o := outcome{c.Form, d.Digests, d.Keyrings, d.Excludes, nil}
	for _, change := range c.Changes {
		o.Changes = append(o.Changes, change.String())
	}
	return o, c.Text
}

// The lines are those of Keylime's create_allowlist.sh and of its documentation.
func TestConvertFlatAllowlist(t *testing.T) {
	got, _ := convert(t, source("allow.txt", "$2  boot_aggregate\n$2  /usr/bin/bash\n$1 /usr/bin/bash\n$2 /usr/bin/bash\n\n"+
		"  $2\t/opt/my app/x  \r\n$U /usr/bin/upper\n$2 %keyring:.ima\n$3  %keyring:.ima\n$2 %keyring:.ima\n$3 no-slash"), Source{})
	want := outcome{
		Form: FlatAllowlist,
		Digests: map[string][]string{
			"/usr/bin/bash": {sha1Hex, sha256Hex}, "/opt/my_app/x": {sha256Hex}, "/usr/bin/upper": {otherHex}, "no-slash": {otherHex},
		},
		Keyrings: map[string][]string{".ima": {sha256Hex, otherHex}},
		Excludes: []string{},
		Changes: []string{
			"allow.txt:1: boot_aggregate is left out: it is of one machine",
			`allow.txt:6: the path is written "/opt/my_app/x", as the kernel writes it`,
			"allow.txt:7: digest in lower case",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestConvertJSONAllowlist(t *testing.T) {
	got, text := convert(t, source("allow.json", `{
  "meta": {"version": 5, "generator": "keylime-3.3.0", "checksum": ""},
  "release": "7", "timestamp": "x",
  "hashes": {"boot_aggregate": ["$1"], "/usr/bin/bash": ["$2", "$2"], "/a b": ["$2"], "/a_b": ["$U", "$2"]},
  "keyrings": {".ima": ["$3"]},
  "ima": {"ignored_keyrings": ["*"], "log_hash_alg": "sha256"}
}`), Source{})
	want := outcome{
		Form:     JSONAllowlist,
		Digests:  map[string][]string{"/usr/bin/bash": {sha256Hex}, "/a_b": {sha256Hex, otherHex}},
		Keyrings: map[string][]string{".ima": {otherHex}},
		Excludes: []string{},
		Changes: []string{
			"allow.json: release: left out: it is no number, and unused",
			"allow.json: timestamp: left out: it is no part of a policy",
			"allow.json: hashes.boot_aggregate: left out: it is of one machine",
			`allow.json: hashes["/a b"]: the path is written "/a_b", as the kernel writes it`,
			`allow.json: hashes["/a_b"]: digests in lower case`,
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, part := range []string{`"log_hash_alg": "sha256"`, `"dm_policy": null`, `"generator": 3`, `"version": 1`, `"ima-buf": {}`, `"timestamp": "2`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
}

// A policy keeps what it has, known or not, and has Keylime's exclusions in our way;
// converted again nothing changes.
func TestConvertRuntimePolicy(t *testing.T) {
	got, text := convert(t, source("p.json", `{"meta": {"version": 1, "generator": 2, "by": "me"}, "digests": {"boot_aggregate": ["$2"]},
		"excludes": ["^/tmp/", "/var/.*"], "ima": {"log_hash_alg": "sha1"}, "verification-keys": null, "mine": 1e400}`), source("ex.txt", "/opt\n"))
	want := outcome{
		Form: RuntimePolicy, Digests: map[string][]string{"boot_aggregate": {sha256Hex}}, Keyrings: map[string][]string{},
		Excludes: []string{"^/tmp/.*", "/var/.*", "/opt.*"},
		Changes:  []string{`p.json: excludes[0]: "^/tmp/" is written "^/tmp/.*"`, `ex.txt:1: "/opt" is written "/opt.*"`},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !strings.Contains(string(text), `"mine": 1e400`) || !strings.Contains(string(text), `"by": "me"`) || !strings.Contains(string(text), `"verification-keys": ""`) {
		t.Errorf("%s", text)
	}
	again, second := convert(t, Source{"again", text}, Source{})
	if again.Changes != nil || string(second) != string(text) {
		t.Errorf("converted again: %v\n%s", again.Changes, second)
	}
}

// Each is matched as Python's re.match does it and as a policy does it after the
// conversion, on paths that the kernel writes.
func TestI25_ConvertedExclusionsKeepTheirMeaning(t *testing.T) {
	for _, test := range []struct{ keylime, ours string }{
		{`^/tmp/`, `^/tmp/.*`},
		{`/tmp`, `/tmp.*`},
		{`^/tmp/.*`, `^/tmp/.*`},
		{`^/tmp/.*$`, `^/tmp/.*$`},
		{`^/tmp/.+`, `^/tmp/.+`},
		{`/tmp/x$`, `/tmp/x$`},
		{`/tmp/x\Z`, `/tmp/x\z`},
		{`/a|/b`, `(?:/a|/b).*`},
		{`/a$|/b`, `(?:/a$|/b).*`},
		{`/a$|/b.*`, `/a$|/b.*`},
		{`(/a|/b)`, `(?:(/a|/b)).*`},
		{`(/a/.*)`, `(/a/.*)`},
		{`/[ab|]`, `(?:/[ab|]).*`},
		{`/my app/.*`, `/my_app/.*`},
		{`/my\ app/`, `/my_app/.*`},
		{`/a{,3}$`, `/a{0,3}$`},
		{`/a\{,3}$`, `/a\{,3}$`},
		{`/[{,3}]$`, `/[{,3}]$`},
		{`/é\.x`, `/é\.x.*`},
		{`/a\\`, `/a\\.*`},
		{`.*\.pyc`, `.*\.pyc.*`},
		{`/x(?:/y)?`, `/x(?:/y)?.*`},
	} {
		got, _ := convert(t, source("a", "$2 /x"), source("e", "# why\n\n "+test.keylime+" \n"))
		if d := cmp.Diff([]string{test.ours}, got.Excludes); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.keylime, d)
		}
		if changed := len(got.Changes) == 1; changed != (test.keylime != test.ours) || changed && !strings.HasPrefix(got.Changes[0], "e:3: ") {
			t.Errorf("%s: changes %v", test.keylime, got.Changes)
		}
		whole := regexp.MustCompile(`\A(?:` + got.Excludes[0] + `)\z`)
		prefix, err := regexp.Compile(`\A(?:` + strings.NewReplacer(`\Z`, `\z`, `a{,3}`, `a{0,3}`, ` `, `_`, `\ `, `_`).Replace(test.keylime) + `)`)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/tmp", "/tmp/", "/tmp/x", "/tmp/xy", "/tmpx", "/a", "/ab", "/a/b", "/b", "/b/c", "/x/y", "/x", "/my_app/x", "/my app/x", "/aaa", "/aaaa",
			"/a{,3}", "/3", "/{", "/éx", "/é.x", "/é.xyz", `/a\`, `/a\b`, "/q/r.pyc", "/q/r.pyc.1", "/|x", "/c"} {
			if a, b := prefix.MatchString(path), whole.MatchString(path); a != b {
				t.Errorf("%s: of %q Keylime says %v, we %v", test.keylime, path, a, b)
			}
		}
	}
}

func TestI04_I24_I25_ConvertRefuses(t *testing.T) {
	deep := strings.Repeat("[", policy.MaxDepth+1) + strings.Repeat("]", policy.MaxDepth+1)
	for _, test := range []struct {
		name, in, excludes string
		want               []string
	}{
		{"nothing", "", "", []string{"in: it lists nothing"}},
		{"blanks", " \n\n", "", []string{"in: it lists nothing"}},
		{"no path", "$2\n$2 /x\n$3 \n", "", []string{`in:1: "` + "b2b2", "in:3: "}},
		{"no digest", "# a comment\nxyz /x\n$2z /y", "", []string{`in:1: "#" is no digest`, `in:2: "xyz" is no digest`, "in:3: "}},
		{"an md5 digest", "d41d8cd98f00b204e9800998ecf8427e /x", "", []string{"in:1: ", "is no digest of sha1"}},
		{"the output of sha256sum for a strange name", `\$2  /a\nb`, "", []string{"in:1: ", "is no digest"}},
		{"a path that is not UTF-8", "$2 /x\xff", "", []string{`in:1: "/x\xff": no policy can list this`}},
		{"a path with NUL", "$2 /x\x00y", "", []string{"in:1: ", "has a NUL"}},
		{"a keyring without a name", "$2 %keyring:", "", []string{`in:1: "": no policy can list this: its path or name is empty`}},
		{"a signed policy", `{"payload": "", "payloadType": "", "signatures": []}`, "", []string{"in: it is a signed policy"}},
		{"no JSON", "{\n \"hashes\": {},\n}", "", []string{"in:3: not JSON"}},
		{"half of it", `{"hashes": {"/x": [`, "", []string{"in:1: not JSON: the text ends inside a value"}},
		{"two of them", "{\"hashes\": {}}\n{}", "", []string{"something follows"}},
		{"not UTF-8", "{\"hashes\": {\"\xff\": []}}", "", []string{"in: it is not UTF-8"}},
		{"a path twice", "{\"hashes\": {\"/x\": [],\n\"/x\": []}}", "", []string{`in:2: "/x" is there twice`}},
		{"a path that was not UTF-8", `{"hashes": {"/x\udcff": []}}`, "", []string{"in:1: ", "a byte that is not UTF-8"}},
		{"too deep", `{"a": ` + deep + `}`, "", []string{"in:1: not JSON: more than 32 levels deep"}},
		{"hashes that are a list", `{"hashes": ["$2"]}`, "", []string{"in: hashes: an array, want an object"}},
		{"a hash that is none", `{"hashes": {"/x": ["00"]}}`, "", []string{`in: hashes["/x"][0]: "00": 2 digits`}},
		{"a hash without its list", `{"hashes": {"/x": "$2"}}`, "", []string{`in: hashes["/x"]: a string, want an array`}},
		{"a keyring that is none", `{"hashes": {}, "keyrings": []}`, "", []string{"in: keyrings: an array"}},
		{"another version", `{"meta": {"version": 2}, "digests": {}}`, "", []string{`in: meta.version: "2", want 1`}},
		{"no policy", `{"x": 1}`, "", []string{"in: meta.version: missing"}},
		{"exclusions that RE2 does not have", `{"meta": {"version": 1}, "excludes": ["/a(?!b)"]}`, "/x\n# y\n(?<=a)\n(\n", []string{`ex:3: "(?<=a)": character 1, "(?<=": invalid`, "ex:4: "}},
		{"the same in a policy", `{"meta": {"version": 1}, "excludes": ["/a(?!b)"]}`, "", []string{`in: excludes[0]: "/a(?!b)": character 3`}},
		{"everything excluded", "$2 /x", "/\n", []string{`ex:1: "/.*": it matches every path`}},
		{"everything excluded by the empty group", "$2 /x", "()\n", []string{`ex:1: "().*": it matches every path`}},
		{"an exclusion that is not UTF-8", "$2 /x", "/\xff\n", []string{`ex:1: "/\xff" is not UTF-8`}},
		{"what only RE2 has", "$2 /x", `/\Qa`, []string{`ex:1: "/\\Qa": character 2: Python has no \Q`}},
		{"too many exclusions", "$2 /x", strings.Repeat("/x\n", policy.MaxExcludes+1), []string{"ex:10001: more than 10000"}},
		{"too many keys", keys(policy.MaxDigests + 2), "", []string{`in:1002: ".x" has more than 1000 digests`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Convert(source("in", test.in), source("ex", test.excludes), at)
			var e *policy.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
		})
	}
}

// keys are lines of n keys of one keyring.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%064x %%keyring:.x\n", i)
	}
	return b.String()
}

func TestI04_ConvertReportsAreBounded(t *testing.T) {
	c, err := Convert(source("in", strings.Repeat("$U /x\n", MaxChanges+5)), Source{}, at)
	if err != nil || len(c.Changes) != MaxChanges || c.More != 5 {
		t.Errorf("%d changes and %d more, %v", len(c.Changes), c.More, err)
	}
	_, err = Convert(source("in", strings.Repeat("x\n", policy.MaxProblems+5)), Source{}, at)
	var e *policy.Error
	if !errors.As(err, &e) || len(e.Problems) != policy.MaxProblems || e.More != 5 {
		t.Errorf("%v", err)
	}
}

// Every cut of an input either is refused or makes a policy.
func TestConvertEveryCut(t *testing.T) {
	for _, text := range []string{
		"$2  /usr/bin/bash\n$1 %keyring:.ima\n",
		`{"meta": {"version": 5}, "hashes": {"/a b": ["$2"]}, "ima": {"ignored_keyrings": ["*"]}}`,
	} {
		in := source("in", text)
		for n := range in.Text {
			c, err := Convert(Source{"in", in.Text[:n]}, Source{}, at)
			if err == nil {
				_, err = policy.Parse(c.Text)
			} else if errors.As(err, new(*policy.Error)) {
				continue
			}
			if err != nil {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
	}
}

// Whatever the bytes, what comes out is a policy, and what is refused is explained.
func FuzzConvert(f *testing.F) {
	for _, s := range []struct{ in, excludes string }{
		{"$2  /usr/bin/bash\n$1 %keyring:.ima\n$2 boot_aggregate", "# x\n^/tmp/\n/a|/b"},
		{`{"meta": {"version": 5}, "hashes": {"/a b": ["$U"]}, "ima": {"ignored_keyrings": ["*"]}}`, `/a{,3}\Z`},
		{`{"meta": {"version": 1}, "digests": {"/x": ["$2"]}, "excludes": ["/x", "(?i)/Y"], "x": {}}`, "/[{,3}]"},
	} {
		f.Add(source("", s.in).Text, []byte(s.excludes))
	}
	f.Fuzz(func(t *testing.T, in, excludes []byte) {
		c, err := Convert(Source{"in", in}, Source{"ex", excludes}, at)
		if err != nil {
			if e, ok := err.(*policy.Error); !ok || len(e.Problems) == 0 {
				t.Fatalf("no problem is named: %v", err)
			}
			return
		}
		if _, err := policy.Parse(c.Text); err != nil {
			t.Fatal(err)
		}
		again, err := Convert(Source{"again", c.Text}, Source{}, at)
		if err != nil || string(again.Text) != string(c.Text) {
			t.Fatalf("converted again: %v\n%s\n%s", err, c.Text, again.Text)
		}
	})
}
