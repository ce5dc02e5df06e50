package policy

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// strictly parses a policy without the scanner.
func strictly(text []byte) (*Policy, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	p := parser{reader: newReader(text, nil, &Error{}), strict: true}
	return p.policy(sha256.Sum256(text))
}

// contents is what a policy says, without the order in which it is kept.
func contents(p *Policy) map[string]string {
	all := map[string]string{
		" ": fmt.Sprintf("%s %d paths %v violations %s rules %+v unknown %q warnings %q\n%s",
			p.digest, p.paths, p.excludes, p.Violations(), p.rules.keyrings, p.unknown, p.warnings, p.others),
	}
	p.files.each(func(name []byte, _ sums) {
		s, _ := p.files.find(name)
		all["path "+string(name)] = string(s)
	})
	return all
}

// sameReading checks that scanner and reader make the same of a text, errors
// included.
func sameReading(t *testing.T, text []byte) {
	t.Helper()
	quick, err := Parse(text)
	slow, want := strictly(text)
	if fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("%q: error %v, the reader says %v", text, err, want)
	}
	if err != nil {
		return
	}
	if d := cmp.Diff(contents(slow), contents(quick)); d != "" {
		t.Fatalf("%q: %s", text, d)
	}
}

var scanned = []string{
	`{}`, `{ }`, `{"/x": []}`, `{"/x":["$"],"/y" : [ "$" , "$" ] }`, "{\n\t\"/x\"\r: [\n\"$\"\t]\n}", `{"": []}`,
	`{"/\u00e4\ud83d\ude00\"\\\/": ["$"]}`, `{"/x": ["\u00611` + strings.Repeat("b2", 31) + `"]}`,
	`{"/x": ["\u0061$"]}`, `{"/\ud800": []}`, `{"/\ufffd": []}`, `{"/x\u0000": []}`, `{"/\q": []}`, `{"/\u12": []}`, `{"/\`, `{"/x`, `{"/x"`, `{"/x":`, `{"/x": [`, `{"/x": ["$"`, `{"/x": ["$",`,
	`{"/x": ["$"]`, `{"/x": ["$"],`, `{"/x": ["$"],}`, `{"/x": ["$",]}`, `{,}`, `{"/x" []}`, `{"/x": [],,"/y": []}`, `{"/x": [] "/y": []}`, `{"/x": ["$" "$"]}`,
	`{"/x": [], "/x": []}`, `{"/x": [], "\u002fx": []}`, `{"/x": ["00"]}`, `{"/x": [1]}`, `{"/x": {}}`, `{1: []}`, `[]`, `null`, `0`, `"x"`, `{"/x": [null]}`,
	"{\"/a\tb\": []}", "{\"/a\x7fb\": []}", `{"/x": ["$"]}5`, `{"/x": ["$"]}{}`, `{"/x": ["$"]} x`, `{"/x": ["$"]}}`, `{"/x": ["$"]}]`,
	`{"/a b": ["$"], "/a_b": []}`, `{"/a_b": [], "/a b": ["$"]}`, `{"/a b": ["$"], "/a_b": ["$"], "/a_b": []}`, `{"/a b": [], "/a b": []}`,
	`{"/a b c": ["$"], "/a_b c": ["$"], "/a b_c": ["$"], "/a_b_c": ["$"]}`, `{"/a_b c": [], "/a b_c": ["$"]}`, `{" ": [], "_": ["$"]}`,
}

func TestScannerReadsAsTheReaderDoes(t *testing.T) {
	for _, digests := range scanned {
		digests = strings.ReplaceAll(digests, "$", hex64)
		for _, format := range []string{`{"meta": {"version": 1}, "digests": %s}`, `{"digests":%s,"meta":{"version":1},"excludes":["(","/x"]}`, `{"digests" : %s, "meta": {"version": 1}, "digests": {}}`, `{"digests": %s`} {
			sameReading(t, fmt.Appendf(nil, format, digests))
		}
	}
	for n := range whole {
		sameReading(t, []byte(whole[:n]))
	}
	sameReading(t, []byte(whole))
}

// What is usual is scanned: that the reader would read it too is no reason to leave
// it to the reader.
func TestScannerReadsTheUsual(t *testing.T) {
	for _, digests := range scanned[:8] {
		text := []byte(`{"digests":` + strings.TrimSpace(strings.ReplaceAll(digests, "$", hex64)) + `}`)
		p := parser{reader: newReader(text, nil, &Error{})}
		p.next()
		p.next()
		if ok := p.scanDigests(); !ok || p.offset() != len(text)-1 {
			t.Errorf("%s: %v, at %d of %d", text, ok, p.offset(), len(text))
		}
	}
}

func TestI04_ScannedMembersAreBounded(t *testing.T) {
	for members, ok := range map[int]bool{MaxMembers - 3: true, MaxMembers - 2: true, MaxMembers - 1: false, MaxMembers: false} {
		p := parser{reader: newReader([]byte(`{"digests": {"/x": [], "/y": []}}`), nil, &Error{})}
		p.next()
		p.next()
		p.members = members
		if got := p.scanDigests(); got != ok {
			t.Errorf("two members more than %d: %v", members, got)
		}
	}
}

// Paths that a kernel writes alike have their digests joined, in the order of the
// text.
func TestSpellingsAreJoined(t *testing.T) {
	p := mustParse(t, around(`"digests": {"/a b_c": ["`+hex40+`"], "/a_b_c": ["`+hex64+`"], "/a_b c": ["`+hex96+`"], "/a b c": []}`))
	got := map[string]int{}
	p.files.each(func(name []byte, _ sums) {
		s, _ := p.files.find(name)
		got[string(name)] = s.len()
	})
	want := map[string]int{"/a b_c": 1, "/a_b_c": 3, "/a_b c": 1, "/a b c": 0}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := p.JudgeFile([]byte("/a_b_c"), 0, nil).Expected; !slices.Equal(d, []string{"sha1:" + hex40, "sha256:" + hex64, "sha384:" + hex96}) {
		t.Errorf("%v", d)
	}
}

// A table grows with what is in it and finds all of it.
func TestTable(t *testing.T) {
	want := map[string]string{}
	table := table{seed: 1}
	for i := range 5000 {
		name, s := fmt.Sprintf("/%d", i%4000), strings.Repeat("\x00"+strings.Repeat("x", 20), i%3)
		table.put([]byte(name), sums(s))
		want[name] = s
	}
	got := map[string]string{}
	for name := range maps.Keys(want) {
		s, listed := table.find([]byte(name))
		if !listed {
			t.Fatalf("%s is not listed", name)
		}
		got[name] = string(s)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, listed := table.find([]byte("/4000")); listed || table.names != 4000 || len(table.index) > 4*2*5000 {
		t.Errorf("%d names in %d slots", table.names, len(table.index)/4)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(whole))
	for _, digests := range scanned {
		f.Add(fmt.Appendf(nil, `{"meta":{"version":1},"digests":%s}`, strings.ReplaceAll(digests, "$", hex40)))
	}
	f.Fuzz(func(t *testing.T, text []byte) { sameReading(t, text) })
}
