package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
)

// Digests of the four algorithms, as a policy lists them.
var (
	hex40  = strings.Repeat("a1", 20)
	hex64  = strings.Repeat("b2", 32)
	hex96  = strings.Repeat("c3", 48)
	hex128 = strings.Repeat("d4", 64)
)

// spki is a P-256 key, base64 of its DER SubjectPublicKeyInfo.
const spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7MHbDb7CHpnzUtcfvKnRmmNOTMLQSMf9YiMRSDFmb7FnC3eUmnQ9x61Lqg0xIos2nx8tdrhRO/Hh5MbQmfbdDQ=="

// whole has every member of the format, each with contents, and two members that
// are none.
var whole = strings.NewReplacer("$KEY", spki, "$40", hex40, "$64", hex64, "$96", hex96, "$128", hex128).Replace(`{
  "meta": {"version": 1, "generator": 2, "timestamp": "2026-11-23 17:02:11.5", "author": "me"},
  "release": 0,
  "digests": {
    "boot_aggregate": ["$64"],
    "/usr/bin/bash": ["$64", "$40"],
    "/usr/lib/\u00e4.so": ["$96", "$128"],
    "/usr/bin/gone": []
  },
  "excludes": ["^/tmp/.*", "/var/log/.*$"],
  "keyrings": {".ima": ["$64"]},
  "ima": {
    "ignored_keyrings": ["*"],
    "log_hash_alg": "sha1",
    "dm_policy": {"version": 1, "match_on": "name", "rules": {}},
    "violations": "warn",
    "weak_digest": "accept",
    "templates": ["d-ng|n-ng|iuid"]
  },
  "deny": {"digests": ["$64"], "paths": [".*/nc"]},
  "ima-buf": {"kexec-cmdline": ["$64"]},
  "verification-keys": "{\"meta\": {\"version\": 1}, \"keyids\": [1, 4294967295], \"pubkeys\": [\"$KEY\", \"$KEY\"], \"x\": [1]}",
  "later": {"deep": [[{"x": 1e400}]]}
}`)

func mustParse(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	p := mustParse(t, whole)
	sum := sha256.Sum256([]byte(whole))
	if p.Digest() != hex.EncodeToString(sum[:]) {
		t.Errorf("digest %s", p.Digest())
	}
	if p.Empty() || p.Paths() != 4 || p.Excludes() != 2 || p.Violations() != ViolationsWarn {
		t.Errorf("empty %v, %d paths, %d exclusions, violations %q", p.Empty(), p.Paths(), p.Excludes(), p.Violations())
	}
	got := [][]string{p.BootAggregates(), p.Unknown(), p.Warnings(), p.Keyrings()}
	want := [][]string{
		{"sha256:" + hex64},
		{"later", "meta.author", "verification-keys.x"},
		nil,
		{".ima"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A policy as Keylime's generator writes an empty one says nothing.
func TestParseEmptyMembers(t *testing.T) {
	p := mustParse(t, `{"meta": {"version": 1}, "release": 0, "digests": {}, "excludes": [], "keyrings": {},
		"ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": null}, "ima-buf": {}, "verification-keys": ""}`)
	if !p.Empty() || p.Unknown() != nil || p.Violations() != ViolationsFail || p.WeakDigest() != WeakDigestFail {
		t.Errorf("empty %v, unknown %v, violations %q, weak digest %v", p.Empty(), p.Unknown(), p.Violations(), p.WeakDigest())
	}
}

func TestI21_EmptyPolicyIsNotEvaluated(t *testing.T) {
	for text, empty := range map[string]bool{
		`{"meta": {"version": 1}}`:                                                          true,
		`{"meta": {"version": 1}, "digests": {}, "excludes": []}`:                           true,
		`{"meta": {"version": 1}, "ima": {"violations": "warn"}}`:                           true,
		`{"meta": {"version": 1}, "deny": {"digests": [], "paths": []}}`:                    true,
		`{"meta": {"version": 1}, "keyrings": {".ima": ["` + hex64 + `"]}}`:                 false,
		`{"meta": {"version": 1}, "ima-buf": {"x": ["` + hex64 + `"]}}`:                     false,
		`{"meta": {"version": 1}, "deny": {"paths": ["/x"]}}`:                               false,
		`{"meta": {"version": 1}, "deny": {"digests": ["` + hex64 + `"]}}`:                  false,
		`{"meta": {"version": 1}, "ima": {"dm_policy": ` + anyDevice + `}}`:                 false,
		around(`"verification-keys": "{\"keyids\": [1], \"pubkeys\": [\"` + spki + `\"]}"`): false,
		`{"meta": {"version": 1}, "digests": {"/x": []}}`:                                   false,
		`{"meta": {"version": 1}, "excludes": ["/x"]}`:                                      false,
	} {
		if got := mustParse(t, text).Empty(); got != empty {
			t.Errorf("%s: empty is %v", text, got)
		}
	}
	if p := new(Policy); !p.Empty() || p.JudgeFile([]byte("/x"), pcr.SHA256, make([]byte, 32)).Verdict.OK() {
		t.Error("the zero Policy allows a file")
	}
}

const anyDevice = `{"version": 1, "match_on": "name", "rules": {}}`

// around makes a policy with one more member than it needs.
func around(member string) string { return `{"meta": {"version": 1}, ` + member + `}` }

func TestI24_ParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	long := strings.Repeat("x", 1000)
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, `it is empty: a runtime policy begins with`},
		{"white space", " \n", `it is empty: a runtime policy begins with`},
		{"an array", `[]`, `want "{": a runtime policy begins with`},
		{"a flat allowlist", "\n" + hex64 + " /bin/a\n", `policy convert`},
		{"a JSON allowlist", `{"meta": {"version": 5}, "hashes": {}}`, `policy convert`},
		{"null", `null`, `want "{"`},
		{"no meta", `{"digests": {}}`, `meta.version: missing`},
		{"no version", `{"meta": {}}`, `meta.version: missing`},
		{"version 2", `{"meta": {"version": 2}}`, `meta.version: "2", want 1`},
		{"version 1.0", `{"meta": {"version": 1.0}}`, `meta.version: "1.0", want 1`},
		{"version true", `{"meta": {"version": true}}`, `meta.version: true or false, want a number`},
		{"a huge version", `{"meta": {"version": 1e999999999}}`, `meta.version: "1e999999999", want 1`},
		{"two policies", `{"meta": {"version": 1}}{}`, `something follows`},
		{"rubbish behind", `{"meta": {"version": 1}} x`, `something follows`},
		{"a byte order mark", "\ufeff" + `{"meta": {"version": 1}}`, `a byte order mark: save the policy as UTF-8 without one`},
		{"a comment", "{\n// why\n" + `"meta": {"version": 1}}`, `not JSON: line 2, column 1: invalid character`},
		{"a trailing comma", `{"meta": {"version": 1},}`, `not JSON: line 1, column 25: invalid character`},
		{"a trailing comma in an array", around(`"excludes": ["/x",]`), `not JSON`},
		{"the wrong bracket", around(`"excludes": ["/x"}`), `not JSON`},
		{"not UTF-8", around("\n\"digests\": {\"/\xff\": []}"), `line 2 is not UTF-8`},
		{"a member twice", around(`"digests": {}, "digests": {}`), `digests: the name is there twice`},
		{"a path twice", around(`"digests": {"/x": [], "/x": []}`), `digests["/x"]: the name is there twice`},
		{"a path twice in disguise", around(`"digests": {"/x": [], "\u002fx": []}`), `digests["/x"]: the name is there twice`},
		{"an unknown member twice", around(`"a": {"b": [0, {"c": 1, "c": 1}]}`), `a.b[1].c: the name is there twice`},
		{"a denial of all", around(`"deny": {"paths": ["/.*"]}`), `deny.paths[0]: "/.*": it matches every path, so that nothing would be allowed`},
		{"half a character", around(`"digests": {"/\ud800": []}`), `digests: an escape \ud800 to \udfff`},
		{"half a character unknown", around(`"a": "\uDFFF"`), `a: an escape \ud800 to \udfff`},
		{"too deep", around(`"a": ` + deep), `more than 32 levels deep`},
		{"too deep in objects", around(strings.Repeat(`"a": {`, MaxDepth) + strings.Repeat(`}`, MaxDepth)), `more than 32 levels deep`},
		{"digests of another type", around(`"digests": ["/x"]`), `digests: an array, want an object`},
		{"a digest of another type", around(`"digests": {"/x": [1]}`), `digests["/x"][0]: a number, want a string`},
		{"a digest without its array", around(`"digests": {"/x": "` + hex64 + `"}`), `digests["/x"]: a string, want an array`},
		{"a digest in upper case", around(`"digests": {"/x": ["` + strings.ToUpper(hex64) + `"]}`), `is not a lower-case hexadecimal digit`},
		{"a digest with its algorithm", around(`"digests": {"/x": ["sha256:` + hex64 + `"]}`), `71 digits are no digest`},
		{"a digest with a letter", around(`"digests": {"/x": ["` + hex64[:63] + `g"]}`), `character 64 is not a lower-case`},
		{"half a digest", around(`"digests": {"/x": ["` + hex64[:63] + `"]}`), `63 digits are no digest`},
		{"a digest with a sign of two bytes", around(`"digests": {"/x": ["` + hex64[:62] + `é"]}`), `character 63 is not`},
		{"a path with NUL", around(`"digests": {"/x\u0000": []}`), `digests["/x\x00"]: a path has no NUL byte`},
		{"a long path", around(`"digests": {"/` + strings.Repeat("x", MaxPath) + `": []}`), `a path of 4097 bytes`},
		{"a long name is cut", around(`"` + long + `": 1, "` + long + `": 1`), `["` + long[:maxShown] + `"…]: the name`},
		{"excludes null", around(`"excludes": null`), `excludes: null, want an array`},
		{"an exclusion of another type", around(`"excludes": [{"a": 1}]`), `excludes[0]: an object, want a string`},
		{"violations", around(`"ima": {"violations": "Warn"}`), `ima.violations: "Warn", want one of fail, warn, ignore`},
		{"log_hash_alg", around(`"ima": {"log_hash_alg": "md5"}`), `ima.log_hash_alg: "md5", want one of sha1`},
		{"weak_digest", around(`"ima": {"weak_digest": true}`), `ima.weak_digest: true or false, want a string`},
		{"a template that is none", around(`"ima": {"templates": ["d-ng|n-ng", "d-ng|name"]}`), `ima.templates[1]: "d-ng|name": "name" is no field`},
		{"a template without a name", around(`"ima": {"templates": ["d-ng"]}`), `ima.templates[0]: "d-ng": a template must have one digest`},
		{"many templates", around(`"ima": {"templates": [` + strings.Repeat(`"d-ng|n-ng",`, MaxTemplates) + `"d|n"]}`), `ima.templates[16]: more than 16 templates`},
		{"a denial that is none", around(`"deny": {"path": ["/opt/.*"], "paths": []}`), `deny.path: no member of "deny", which has "digests" and "paths"`},
		{"denied digests", around(`"deny": {"digests": ["sha1:` + hex40 + `"]}`), `deny.digests[0]: "sha1:`},
		{"denied paths", around(`"deny": {"paths": ["/a", "("]}`), `deny.paths[1]: "(": missing closing )`},
		{"every path denied", around(`"deny": {"paths": [".*"]}`), `deny.paths[0]: ".*": it matches every path`},
		{"an empty keyring name", around(`"keyrings": {"": []}`), `keyrings[""]: the name of a keyring has 1 to 4096 bytes`},
		{"dm_policy rules", around(`"ima": {"dm_policy": {"match_on": "label"}}`), `ima.dm_policy.match_on: `},
		{"dm_policy", around(`"ima": {"dm_policy": []}`), `ima.dm_policy: an array, want an object or null`},
		{"ignored_keyrings", around(`"ima": {"ignored_keyrings": "*"}`), `ima.ignored_keyrings: a string, want an array`},
		{"a keyring that is no name", around(`"ima": {"ignored_keyrings": ["*", 1]}`), `ima.ignored_keyrings[1]: a number, want a string`},
		{"keyrings", around(`"keyrings": {".ima": ["00"]}`), `keyrings[".ima"][0]: "00": 2 digits are no digest`},
		{"ima-buf", around(`"ima-buf": []`), `ima-buf: an array, want an object`},
		{"keys that are an object", around(`"verification-keys": {}`), `verification-keys: an object, want a string`},
		{"keys that are no JSON", around(`"verification-keys": "-----BEGIN"`), `verification-keys: not JSON`},
		{"keys with more behind", around(`"verification-keys": "{} {}"`), `verification-keys: something follows`},
		{"a key that is not base64", around(`"verification-keys": "{\"pubkeys\": [\"!\"]}"`), `verification-keys.pubkeys[0]: "!" is not base64`},
		{"a key id that is no integer", around(`"verification-keys": "{\"keyids\": [1.5]}"`), `verification-keys.keyids[0]: "1.5" is not the id of a key`},
		{"a key id that is too large", around(`"verification-keys": "{\"keyids\": [4294967296]}"`), `verification-keys.keyids[0]: "4294967296" is not the id of a key`},
		{"a key without its id", around(`"verification-keys": "{\"keyids\": [], \"pubkeys\": [\"` + spki + `\"]}"`), `verification-keys: 0 keyids for 1 pubkeys`},
		{"a key that is none", around(`"verification-keys": "{\"keyids\": [1], \"pubkeys\": [\"AAEC\"]}"`), `verification-keys.pubkeys[0]: not a public key`},
		{"keys twice", around(`"verification-keys": "{\"keyids\": [], \"keyids\": []}"`), `verification-keys.keyids: the name is there twice`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
			if strings.Contains(test.want, "not JSON") && len(e.Problems) != 1 {
				t.Errorf("error %q says more than where the text is no JSON", err)
			}
		})
	}
}

// A problem has its line, but for one in a string within the text.
func TestProblemsHaveTheirLine(t *testing.T) {
	_, err := Parse([]byte("{\"meta\": {\"version\": 1},\n\"digests\": {\n\"/a\": [\n\"x\"]},\n \"verification-keys\":\"{\\\"pubkeys\\\": 1}\", \"excludes\": [\"(\"]}"))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := []int{4, 0, 5}
	var got []int
	for _, p := range e.Problems {
		got = append(got, p.Line)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s\n%v", d, err)
	}
}

// One reading tells everything that is wrong.
func TestParseCollectsProblems(t *testing.T) {
	_, err := Parse([]byte(`{"meta": {"version": 3}, "digests": {"/a": ["x"], "/b": {"c": []}, "/d": [[], "y"]}, "excludes": ["(", "/ok", ")"]}`))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	var places []string
	for _, p := range e.Problems {
		places = append(places, p.Place)
	}
	want := []string{"meta.version", `digests["/a"][0]`, `digests["/b"]`, `digests["/d"][0]`, `digests["/d"][1]`, "excludes[0]", "excludes[2]"}
	if d := cmp.Diff(want, places); d != "" {
		t.Error(d)
	}
}

func TestEveryCutFails(t *testing.T) {
	for n := range len(whole) {
		if _, err := Parse([]byte(whole[:n])); err == nil {
			t.Errorf("the first %d bytes are a policy", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(around(`"digests": {"/a b": ["` + hex64 + `"], "/a_b": []}, "excludes": ["(?i)/A[^/]*", "a|b", ""]`)))
	f.Add([]byte(around(`"digests": {"\ud83d\ude00\ufffd": []}, "a": [[{"b": null}, -0.1e-7, true]]`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || len(e.Problems) == 0 || len(e.Problems) > MaxProblems {
				t.Fatalf("error %#v", err)
			}
			return
		}
		var d struct {
			Digests map[string][]string `json:"digests"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if len(d.Digests) != p.Paths() {
			t.Fatalf("%d paths, encoding/json finds %d", p.Paths(), len(d.Digests))
		}
		if changes := Compare(p, p, 1); len(changes) > 0 {
			t.Fatalf("it differs from itself: %+v", changes)
		}
		if n := len(p.Contents().Excludes); n != p.Excludes() {
			t.Fatalf("%d exclusions, %d in the contents", p.Excludes(), n)
		}
		for path, sums := range d.Digests {
			checkListed(t, p, path, sums)
		}
	})
}

// checkListed checks that p allows each of the digests for path and for what a
// kernel writes for it.
func checkListed(t *testing.T, p *Policy, path string, sums []string) {
	t.Helper()
	for _, s := range sums {
		digest, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, bank := range pcr.Banks {
			for _, name := range []string{path, strings.ReplaceAll(path, " ", "_")} {
				got := p.JudgeFile([]byte(name), bank, digest).Verdict
				if (got == Allowed) != (bank.Size() == len(digest)) {
					t.Fatalf("%q %v:%s: %v", name, bank, s, got)
				}
			}
		}
	}
}

// A whole character that is escaped in two halves is none that is repaired, whatever
// stands beside it.
func TestParseTakesPairs(t *testing.T) {
	p := mustParse(t, `{"meta": {"version": 1}, "digests": {"/`+"\ufffd"+`\ud83d\ude00": []}}`)
	if p.Paths() != 1 {
		t.Errorf("%d paths", p.Paths())
	}
}
