package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestI24_JudgeFile(t *testing.T) {
	p := mustParse(t, around(strings.NewReplacer("$40", hex40, "$64", hex64, "$96", hex96, "$128", hex128).Replace(`
		"digests": {"/bin/a": ["$64", "$40"], "/bin/b": ["$96", "$128"], "/bin/none": [], "/tmp/listed": ["$64"], "/opt/my app/x": ["$64"], "/opt/my_app/x": ["$40"]},
		"excludes": ["^/tmp/.*", "/home/.*\\.log"]`)))
	other := strings.Repeat("00", 32)
	both := []string{"sha256:" + hex64, "sha1:" + hex40}
	for _, test := range []struct {
		name   string
		bank   pcr.Bank
		digest string
		want   Decision
	}{
		{"/bin/a", pcr.SHA256, hex64, Decision{Verdict: Allowed}},
		{"/bin/a", pcr.SHA1, hex40, Decision{Verdict: Allowed}},
		{"/bin/b", pcr.SHA384, hex96, Decision{Verdict: Allowed}},
		{"/bin/b", pcr.SHA512, hex128, Decision{Verdict: Allowed}},
		{"/bin/a", pcr.SHA256, other, Decision{Verdict: WrongDigest, Expected: both}},
		{"/bin/a", pcr.SHA256, "", Decision{Verdict: WrongDigest, Expected: both}},
		{"/bin/a", pcr.SHA256, hex64[:62], Decision{Verdict: WrongDigest, Expected: both}},
		{"/bin/a", 0, hex64, Decision{Verdict: WrongDigest, Expected: both}},        // sm3 has 64 digits too
		{"/bin/a", pcr.SHA1, hex64, Decision{Verdict: WrongDigest, Expected: both}}, // the algorithm counts
		{"/bin/a", 0x0012, hex64, Decision{Verdict: WrongDigest, Expected: both}},   // so does one nobody knows
		{"/bin/none", pcr.SHA256, hex64, Decision{Verdict: WrongDigest}},            // listed: nothing is right
		{"/bin/c", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},               // a digest of another path
		{"/bin/a\n", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
		{"/BIN/a", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
		{"", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
		{"/tmp/x", pcr.SHA256, hex64, Decision{Verdict: Excluded}},
		{"/tmp/x", 0, "", Decision{Verdict: Excluded}},
		{"/tmp/listed", pcr.SHA256, other, Decision{Verdict: Excluded}}, // as if exclusions came first
		{"/tmp/listed", pcr.SHA256, hex64, Decision{Verdict: Allowed}},
		{"/home/q/x.log", pcr.SHA256, hex64, Decision{Verdict: Excluded}},
		{"/home/q/x.log.sh", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
		{"/opt/my_app/x", pcr.SHA256, hex64, Decision{Verdict: Allowed}}, // as a kernel writes it
		{"/opt/my_app/x", pcr.SHA1, hex40, Decision{Verdict: Allowed}},
		{"/opt/my app/x", pcr.SHA256, hex64, Decision{Verdict: Allowed}}, // as no kernel does
		{"/opt/my app/x", pcr.SHA1, hex40, Decision{WrongDigest, both[:1], 0}},
		{"boot_aggregate", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
		{"/bin/a/../a", pcr.SHA256, hex64, Decision{Verdict: NotInPolicy}},
	} {
		got := p.JudgeFile([]byte(test.name), test.bank, unhex(t, test.digest))
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%q %v:%s: %s", test.name, test.bank, test.digest, d)
		}
	}
}

func TestDecisionIsBounded(t *testing.T) {
	var list []string
	for i := range MaxExpected + 3 {
		list = append(list, fmt.Sprintf(`"%064x"`, i))
	}
	p := mustParse(t, around(`"digests": {"/x": [`+strings.Join(list, ",")+`]}`))
	d := p.JudgeFile([]byte("/x"), pcr.SHA256, bytes.Repeat([]byte{0xff}, 32))
	if d.Verdict != WrongDigest || len(d.Expected) != MaxExpected || d.More != 3 {
		t.Errorf("%v, %d shown, %d more", d.Verdict, len(d.Expected), d.More)
	}
}

// Only an absolute path is somewhere: any other name is what the measured
// program was called.
func TestI17_OnlyAbsolutePathsAreExcluded(t *testing.T) {
	p := mustParse(t, around(`"excludes": [".*x", "boot_aggregate", "memfd:.*", "[^/].*"]`))
	for name, want := range map[string]Verdict{
		"/x":             Excluded,
		"x":              NotInPolicy,
		"./x":            NotInPolicy,
		" /x":            NotInPolicy,
		"memfd:x":        NotInPolicy,
		"boot_aggregate": NotInPolicy,
	} {
		if got := p.JudgeFile([]byte(name), pcr.SHA256, make([]byte, 32)).Verdict; got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// A name that no JSON can hold is judged all the same: in no policy, unless it
// lies where nothing is judged.
func TestI24_StrangeNamesAreJudged(t *testing.T) {
	p := mustParse(t, around(`"digests": {"/bin/\ufffd": ["`+hex64+`"], "/bin/a": ["`+hex64+`"]}, "excludes": ["^/tmp/.*", "/var/[^/]*/x"]`))
	for name, want := range map[string]Verdict{
		"/bin/\xff":           NotInPolicy, // not U+FFFD, though encoding/json would make it so
		"/bin/\xef\xbf\xbd":   Allowed,
		"/bin/a\x00":          NotInPolicy,
		"/bin/\xc0\xafa":      NotInPolicy,
		"/tmp/\xff\xfe":       Excluded,
		"/tmp/a\nb":           Excluded,
		"/tmp/\r\n\xff":       Excluded,
		"\n/tmp/a":            NotInPolicy,
		"/bin/a\n/tmp/a":      NotInPolicy,
		"/var/\xff\n/x":       Excluded,
		"/var/\xff\n/x\n":     NotInPolicy,
		"/tmp\xff/a":          NotInPolicy,
		"/tm\xc3\x70/a":       NotInPolicy,
		"/tmp/\u202egnp.exe/": Excluded,
	} {
		if got := p.JudgeFile([]byte(name), pcr.SHA256, unhex(t, hex64)).Verdict; got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// largePolicy lists n paths with a digest each; the digest of path i is i.
func largePolicy(tb testing.TB, n int) *Policy {
	var b strings.Builder
	b.WriteString(`{"meta": {"version": 1}, "excludes": ["^/tmp/.*", "^/var/log/.*", "^/home/[^/]*/\\.cache/.*"], "digests": {`)
	for i := range n {
		fmt.Fprintf(&b, "%q: [\"%064x\"],\n", largePath(i), i)
	}
	return mustParse(tb, strings.TrimSuffix(b.String(), ",\n")+"}}")
}

func largePath(i int) string {
	return fmt.Sprintf("/usr/lib/x86_64-linux-gnu/package-%d/libexample-%d.so.6", i%1000, i)
}

func largeDigest(i int) []byte {
	b := make([]byte, 32)
	for at := 31; i > 0; at, i = at-1, i>>8 {
		b[at] = byte(i)
	}
	return b
}

func TestJudgeFileDoesNotAllocate(t *testing.T) {
	p := largePolicy(t, 1000)
	for i := range 1000 {
		name, digest := []byte(largePath(i)), largeDigest(i)
		if p.JudgeFile(name, pcr.SHA256, digest).Verdict != Allowed {
			t.Fatalf("%s is not allowed", name)
		}
		if n := testing.AllocsPerRun(1, func() { p.JudgeFile(name, pcr.SHA256, digest) }); n != 0 {
			t.Fatalf("%v allocations", n)
		}
	}
}

func BenchmarkJudgeFile(b *testing.B) {
	const n = 100_000
	p := largePolicy(b, n)
	names, digests := make([][]byte, n), make([][]byte, n)
	for i := range n {
		names[i], digests[i] = []byte(largePath(i)), largeDigest(i)
	}
	excluded, absent := []byte("/home/q/.cache/a/b/c"), []byte("/usr/lib/x86_64-linux-gnu/absent")
	for _, mode := range []struct {
		name string
		path func(i int) []byte
		want Verdict
	}{
		{"allowed", func(i int) []byte { return names[i] }, Allowed},
		{"excluded", func(int) []byte { return excluded }, Excluded},
		{"absent", func(int) []byte { return absent }, NotInPolicy},
	} {
		b.Run(mode.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if p.JudgeFile(mode.path(i), pcr.SHA256, digests[i]).Verdict != mode.want {
					b.Fatal(i)
				}
				i = (i + 7919) % n
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	var t strings.Builder
	t.WriteString(`{"meta": {"version": 1}, "digests": {`)
	for i := range 100_000 {
		fmt.Fprintf(&t, "%q: [\"%064x\"],\n", largePath(i), i)
	}
	text := []byte(strings.TrimSuffix(t.String(), ",\n") + "}}")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
