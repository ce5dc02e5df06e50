package refvalues

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// small replaces long digests so that a test shows what it is about.
var small = strings.NewReplacer(
	strings.Repeat("01", 64), "1×64", strings.Repeat("01", 32), "1×32", strings.Repeat("01", 20), "1×20",
	hex.EncodeToString(pcr.SHA256.Sum([]byte("quiet"))), "quiet", strings.Repeat("02", 32), "2×32", strings.Repeat("06", 32), "6×32", strings.Repeat("07", 32), "7×32")

func TestPolicyText(t *testing.T) {
	v, _, err := FromList(strangeList(), []string{"^/tmp/.*"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := v.Policy(Meta{Generator: GeneratorCompatible, At: at})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "digests": {
    "/bin/<&>": [
      "1×64"
    ],
    "/bin/a": [
      "1×20",
      "1×32",
      "2×32"
    ],
    "/bin/has space": [
      "6×32"
    ],
    "no-slash": [
      "7×32"
    ]
  },
  "excludes": [
    "^/tmp/.*"
  ],
  "ima": {
    "dm_policy": null,
    "ignored_keyrings": [],
    "log_hash_alg": "sha1"
  },
  "ima-buf": {
    "kexec-cmdline": [
      "quiet"
    ]
  },
  "keyrings": {},
  "meta": {
    "generator": 2,
    "timestamp": "2026-11-23T17:00:00Z",
    "version": 1
  },
  "release": 0,
  "verification-keys": ""
}
`
	if d := cmp.Diff(want, small.Replace(string(text))); d != "" {
		t.Error(d)
	}
}

func TestAllow(t *testing.T) {
	var v Values
	digest := bytes.Repeat([]byte{1}, 32)
	for _, path := range []string{"/my app/x", "/my_app/x", "/y"} {
		if err := v.Allow(path, pcr.SHA256, digest); err != nil {
			t.Error(err)
		}
	}
	want := listed{"/my_app/x": {hex.EncodeToString(digest)}, "/y": {hex.EncodeToString(digest)}}
	if d := cmp.Diff(want, v.digests); d != "" {
		t.Error(d)
	}
	for _, test := range []struct {
		path   string
		bank   pcr.Bank
		digest []byte
	}{
		{"/\xff", pcr.SHA256, digest},
		{"/\x00", pcr.SHA256, digest},
		{"", pcr.SHA256, digest},
		{"/" + strings.Repeat("x", policy.MaxPath), pcr.SHA256, digest},
		{"/x", 0, digest},
		{"/x", 0, nil},
		{"/x", pcr.SHA1, digest},
	} {
		if err := v.Allow(test.path, test.bank, test.digest); !errors.Is(err, ErrUnlistable) {
			t.Errorf("%.10q %v: error %v", test.path, test.bank, err)
		}
	}
	if v.Paths() != 2 {
		t.Errorf("%d paths", v.Paths())
	}
}

// base has a member that nobody knows, in every place that can have one, and
// numbers and strings that a careless reader changes.
const base = `{"zoo": {"n": 12345678901234567890.50, "b": [null, true, {"x": 1e400}]},
 "meta": {"version": 1, "generator": 3, "author": "é <\u2028>"},
 "excludes": ["/z.*", "/a/.*"],
 "ima": {"violations": "warn", "later": 1},
 "digests": {"/b": ["0202020202020202020202020202020202020202", "0101010101010101010101010101010101010101"], "/my app": []}}`

func TestMerge(t *testing.T) {
	var v Values
	v.Exclude("/a/.*", "/m.*", "/m.*")
	for _, n := range []byte{3, 1, 0} {
		if err := v.Allow("/b", pcr.SHA1, bytes.Repeat([]byte{n}, 20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Allow("/new", pcr.SHA1, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	text, err := Merge([]byte(base), &v, at)
	if err != nil {
		t.Fatal(err)
	}
	d := func(digit string) string { return strings.Repeat("0"+digit, 20) }
	want := decode(t, []byte(base))
	want["excludes"] = []any{"/z.*", "/a/.*", "/m.*"}
	want["meta"].(map[string]any)["timestamp"] = "2026-11-23T17:00:00Z"
	want["digests"].(map[string]any)["/b"] = []any{d("2"), d("1"), d("0"), d("3")}
	want["digests"].(map[string]any)["/new"] = []any{d("0")}
	if d := cmp.Diff(want, decode(t, text)); d != "" {
		t.Error(d)
	}
	again, err := Merge(text, &v, at)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("merged again it differs (error %v):\n%s", err, cmp.Diff(string(text), string(again)))
	}
}

// decode reads a document with its numbers as they are written.
func decode(t *testing.T, text []byte) (doc map[string]any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// What is not added is not there, not even as an empty member.
func TestMergeNothing(t *testing.T) {
	for _, text := range []string{base, `{"meta": {"version": 1}}`, `{"meta": {"version": 1}, "excludes": []}`} {
		merged, err := Merge([]byte(text), &Values{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(decode(t, []byte(text)), decode(t, merged)); d != "" {
			t.Error(d)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	var bad Values
	bad.Exclude("(")
	for _, test := range []struct {
		base string
		add  *Values
		want string
	}{
		{`{"meta": {"version": 2}}`, &Values{}, "the policy to extend: meta.version"},
		{`{"meta": {"version": 1}, "a": 1, "a": 2}`, &Values{}, "the policy to extend: a: the name is there twice"},
		{`{"meta": {"version": 1}}`, &bad, "excludes[0]"},
	} {
		_, err := Merge([]byte(test.base), test.add, at)
		if e := (*policy.Error)(nil); !errors.As(err, &e) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

// Nobody's order of doing things shows in the outcome.
func TestPolicyIsDeterministic(t *testing.T) {
	list := strangeList()
	var first []byte
	for range 20 {
		v, _, err := FromList(list, []string{"/b", "/a"})
		if err != nil {
			t.Fatal(err)
		}
		text, err := v.Policy(Meta{At: at})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		}
		if !bytes.Equal(first, text) {
			t.Fatal(cmp.Diff(string(first), string(text)))
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(`{"meta": {"version": 1}, "a": ["\ufffd", -0, 1E+2, {"": {}}], "digests": {"/b": []}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := policy.Parse(text); err != nil {
			return
		}
		same, err := Merge(text, &Values{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(decode(t, text), decode(t, same)); d != "" {
			t.Fatal(d)
		}
		var v Values
		digest := bytes.Repeat([]byte{1}, 32)
		if err := v.Allow("/b", pcr.SHA256, digest); err != nil {
			t.Fatal(err)
		}
		more, err := Merge(text, &v, at)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(more)
		if err != nil || p.JudgeFile([]byte("/b"), pcr.SHA256, digest).Verdict != policy.Allowed {
			t.Fatalf("the addition is lost (error %v):\n%s", err, more)
		}
	})
}
