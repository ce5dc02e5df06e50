package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
)

// sum is a digest of one digit.
func sum(digit string) string { return strings.Repeat(digit, 64) }

// shortly writes digests of one digit as that digit.
func shortly(groups []ChangeGroup) (lines []string) {
	for _, g := range groups {
		lines = append(lines, fmt.Sprintf("%s: %d %s", g.Kind, g.Count, g.Effect))
		for _, c := range g.Changes {
			if strings.Contains(fmt.Sprint(c.Added), "table_load") {
				c.Added, c.Removed = nil, nil // two texts of a rule
				lines = append(lines, fmt.Sprintf("  %s %s", c.Effect, c.Name))
				continue
			}
			line := fmt.Sprintf("  %s %s +%v -%v", c.Effect, c.Name, c.Added, c.Removed)
			for _, d := range "0123456789abcdef" {
				line = strings.ReplaceAll(line, "sha256:"+sum(string(d)), string(d))
			}
			lines = append(lines, line)
		}
	}
	return lines
}

const spkiName = "ECDSA P-256, id 00000001, SPKI sha256:83b5909f4b59d0e016aa29d21d58b494553a0cab6f67ca48ccafef1f7d20af4b"

// filesOf makes the member digests of path=digits.
func filesOf(files ...string) string {
	var all []string
	for _, f := range files {
		path, digits, _ := strings.Cut(f, "=")
		var list []string
		for _, d := range digits {
			list = append(list, `"`+sum(string(d))+`"`)
		}
		all = append(all, `"`+path+`": [`+strings.Join(list, ", ")+`]`)
	}
	return `"digests": {` + strings.Join(all, ", ") + `}`
}

func TestI24_I25_Compare(t *testing.T) {
	const keys = `"verification-keys": "{\"keyids\": [1], \"pubkeys\": [\"` + spki + `\"]}"`
	device := func(name, allow string) string {
		return fmt.Sprintf(`"%s": {"required": false, "device_resume_required": false, "allow_clear": %s, "table_load": {"allow_multiple_loads": false, "name": "%s", "uuid": "u", "major": null, "minor": null, "minor_count": null, "num_targets": 0, "targets": []}}`, name, allow, name)
	}
	devices := func(match string, rules ...string) string {
		return `"ima": {"dm_policy": {"version": 1, "match_on": "` + match + `", "rules": {` + strings.Join(rules, ", ") + `}}}`
	}
	for _, test := range []struct {
		name, a, b string
		want       []string
	}{
		{"nothing", filesOf("/a=12"), filesOf("/a=21"), nil},
		{"as the kernel writes it", filesOf("/a b=1"), filesOf("/a_b=1"), nil},
		{"files", filesOf("/a=1", "/b=1", "/c=1", "/d=12", "/e=12", "/f=1"), filesOf("/b=2", "/c=12", "/d=1", "/e=1", "/f=", "/g h=3", "/i=4"), []string{
			"files newly allowed: 2 looser", "  looser /g_h +[3] -[]", "  looser /i +[4] -[]",
			"files no longer allowed: 2 tighter", "  tighter /f +[] -[1]", "  tighter /a +[] -[1]",
			"files allowed with other digests: 4 mixed", "  mixed /b +[2] -[1]", "  looser /c +[2] -[]", "  tighter /d +[] -[2]", "  tighter /e +[] -[2]",
		}},
		{"what was excluded", `"excludes": ["/x.*", "/y"]`, filesOf("/xa=1", "/z=1"), []string{
			"files newly allowed: 1 looser", "  looser /z +[1] -[]",
			"exclusions: 2 tighter", "  tighter /x.* +[] -[/x.*]", "  tighter /y +[] -[/y]",
		}},
		{"what becomes excluded", filesOf("/xa=1"), `"excludes": ["/x.*"]`, []string{"exclusions: 1 looser", "  looser /x.* +[/x.*] -[]"}},
		{"what is denied", filesOf("/a=12", "/b=1"), filesOf("/a=12", "/b=1") + `, "deny": {"digests": ["` + sum("1") + `"], "paths": ["/q"]}`, []string{
			"files no longer allowed: 1 tighter", "  tighter /b +[] -[1]",
			"files allowed with other digests: 1 tighter", "  tighter /a +[] -[1]",
			"denied digests: 1 tighter", "  tighter 1 +[1] -[]",
			"denied paths: 1 tighter", "  tighter /q +[/q] -[]",
		}},
		{"boot_aggregate", filesOf("/a=1"), filesOf("/a=1", "boot_aggregate=2"), []string{"boot_aggregate: 1 tighter", "  tighter boot_aggregate +[2] -[]"}},
		{"boot_aggregate no more", filesOf("boot_aggregate=2"), filesOf("boot_aggregate=23"), []string{"boot_aggregate: 1 looser", "  looser boot_aggregate +[3] -[]"}},
		{"keys", `"keyrings": {".ima": ["` + sum("1") + `"], ".a": []}`, keys + `, "keyrings": {".ima": ["` + sum("2") + `"]}, "ima": {"ignored_keyrings": ["*"]}, "ima-buf": {"k": ["` + sum("3") + `"]}`, []string{
			"verification keys: 1 looser", "  looser " + spkiName + " +[" + spkiName + "] -[]",
			"keyrings: 1 mixed", "  mixed .ima +[2] -[1]",
			"ignored keyrings: 1 mixed", "  mixed * +[*] -[]",
			"ima-buf: 1 looser", "  looser k +[3] -[]",
		}},
		{"devices", devices("name", device("r", "true"), device("s", "true")), devices("uuid", device("s", "false"), device("r", "true"), device("t", "true")), []string{
			"device-mapper rules: 4 mixed", "  mixed s", "  mixed t", "  mixed match_on +[uuid] -[name]", "  mixed order of rules +[s, r] -[r, s]",
		}},
		{"settings", `"ima": {"violations": "warn", "weak_digest": "accept"}`, `"ima": {"violations": "ignore", "templates": ["d|n"]}`, []string{
			"templates: 1 looser", "  looser d|n +[d|n] -[]",
			"settings: 2 mixed", "  mixed ima.violations +[ignore] -[warn]", "  tighter ima.weak_digest +[fail] -[accept]",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := shortly(Compare(mustParse(t, around(test.a)), mustParse(t, around(test.b)), MaxReported))
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCompareKeepsTheFirst(t *testing.T) {
	got := Compare(mustParse(t, around(filesOf("/a=1"))), mustParse(t, around(filesOf("/a=1", "/b=1", "/c=1", "/d=1"))), 2)
	want := []string{"files newly allowed: 3 looser", "  looser /b +[1] -[]", "  looser /c +[1] -[]"}
	if d := cmp.Diff(want, shortly(got)); d != "" {
		t.Error(d)
	}
}

// What is said of a path with spaces is said once, and replaced records never.
func TestI24_EachFile(t *testing.T) {
	p := mustParse(t, around(filesOf("/a b=1", "/a_b=2", "/c=12", "boot_aggregate=1", "/e=")))
	var got []string
	p.EachFile(func(path []byte, d Digests) {
		n := 0
		d.Each(func(pcr.Bank, []byte) { n++ })
		got = append(got, fmt.Sprint(string(path), " ", n))
	})
	if d := cmp.Diff([]string{"/c 2", "/e 0", "/a_b 2"}, got); d != "" {
		t.Error(d)
	}
	if n := p.DigestCounts()[pcr.SHA256]; n != 4 {
		t.Errorf("%d digests", n)
	}
}

func BenchmarkCompare(b *testing.B) {
	var old, young strings.Builder
	for i := range 1_000_000 {
		path := fmt.Sprintf(`,"/usr/lib/package-%d/file-%d": ["%064x"]`, i/100, i, i)
		if i%100 > 0 {
			old.WriteString(path)
		}
		if i%100 < 99 {
			young.WriteString(path)
		}
	}
	x, y := mustParse(b, around(`"digests": {`+old.String()[1:]+`}`)), mustParse(b, around(`"digests": {`+young.String()[1:]+`}`))
	b.ReportAllocs()
	for b.Loop() {
		Compare(x, y, 20)
	}
}
