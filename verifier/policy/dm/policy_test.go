package dm_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy/dm"
)

// minimal is a policy with what a load needs and nothing else.
const minimal = `{"match_on": "name", "rules": {"r": {"device_resume_required": false, "table_load": {
	"allow_multiple_loads": false, "name": "a", "uuid": "", "major": 253, "minor": 0, "minor_count": 1, "num_targets": 1,
	"targets": [{"target_name": "linear"}]}}}}`

func TestI25_ProblemsOfPolicies(t *testing.T) {
	for _, c := range []struct{ what, old, new, want string }{
		{"nothing", "", "", ""},
		{"version 1", `{"match_on"`, `{"version": 1, "match_on"`, ""},
		{"version 2", `{"match_on"`, `{"version": 2, "match_on"`, "version: want 1, the one version there is"},
		{"no match_on", `"match_on": "name",`, "", `match_on: missing: want "name" or "uuid"`},
		{"a match_on", `"match_on": "name"`, `"match_on": "minor"`, `match_on: want "name" or "uuid"`},
		{"no rules", `"rules"`, `"rule"`, "rules: missing: want an object with a rule for each device"},
		{"rules", `{"r": {`, `["r", {`, "not JSON: column 42: invalid character '}' after array element"},
		{"a member twice", `"major": 253`, `"major": 253, "major": 254`, "rules.r.table_load.major: the name is there twice: two readers may take two different values; leave one of them"},
		{"a rule twice", `{"r": {`, `{"r": {}, "r": {`, "rules.r: the name is there twice: two readers may take two different values; leave one of them\nrules.r.device_resume_required: missing: want true or false\nrules.r.table_load: missing: want an object"},
		{"a name of a rule", `{"r": {`, `{"Root disk": {"required": 1, `, `rules["Root disk"].required: a number, want true or false`},
		{"no device_resume_required", `"device_resume_required": false,`, "", "rules.r.device_resume_required: missing: want true or false"},
		{"no major", `"major": 253,`, "", "rules.r.table_load.major: missing: want a number, or null for any"},
		{"no targets", `"targets"`, `"target"`, "rules.r.table_load.targets: missing: want an array, of {} for any target"},
		{"a name that is a number", `"name": "a"`, `"name": 5`, "rules.r.table_load.name: a number, want an expression: match_on says that it tells the devices of the rule"},
		{"a name that is anything", `"name": "a"`, `"name": null`, "rules.r.table_load.name: null, want an expression: match_on says that it tells the devices of the rule"},
		{"a fraction", `"minor": 0`, `"minor": 0.5`, `rules.r.table_load.minor: "0.5", want a whole number of 64 bits`},
		{"an array", `"minor": 0`, `"minor": []`, "rules.r.table_load.minor: an array, want an expression, a number, true, false or null"},
		{"true for one target", `"num_targets": 1`, `"num_targets": true`, ""},
		{"an expression for a count", `"num_targets": 1`, `"num_targets": "1"`, "rules.r.table_load.num_targets: a string, want a number"},
		{"a count beyond all", `"num_targets": 1`, `"num_targets": 257`, "rules.r.table_load.num_targets: want a number up to 256"},
		{"fewer targets", `"num_targets": 1`, `"num_targets": 2`, "rules.r.table_load: num_targets is 2, and targets has 1: list each target, {} is one of any kind"},
		{"more targets", `"num_targets": 1`, `"num_targets": 0`, "rules.r.table_load: num_targets is 0, and targets has 1: list each target, {} is one of any kind"},
		{"a Python object", `"linear"`, `"mirror", "mirror_device_data": "x"`, "rules.r.table_load.targets[0].mirror_device_data: want null: write mirror_device_0, mirror_device_0_status and so on"},
		{"look-ahead", `"linear"`, `"é(?!x)"`, `rules.r.table_load.targets[0].target_name: "\u00e9(?!x)": character 2, "(?!": invalid or unsupported Perl syntax (RE2 has no look-around, no references to groups and no \Z; an expression matches the whole value)`},
		{"Python's end", `"linear"`, `"x\\Z"`, `rules.r.table_load.targets[0].target_name: "x\\Z": character 2, "\\Z": invalid escape sequence (RE2 has no look-around, no references to groups and no \Z; an expression matches the whole value)`},
		{"Python's repetition", `"linear"`, `"x{,3}"`, `rules.r.table_load.targets[0].target_name: "x{,3}": RE2 takes {,n} for plain text: write {0,n}`},
		{"a parenthesis", `"linear"`, `"a)|(b"`, `rules.r.table_load.targets[0].target_name: "a)|(b": character 1, "a)|(b": unexpected )`},
		{"half a character", `"linear"`, `"\ud800"`, `rules.r.table_load.targets[0].target_name: an escape \ud800 to \udfff stands for half a character: write the character itself`},
		{"more", `}}}}`, `}}}} {}`, "something follows the closing brace: take it out"},
		{"less", `}}}}`, `}}}`, "not JSON: the text ends inside a value: it is cut, or a bracket or quote is missing"},
		{"another value", minimal, `[]`, "an array, want an object"},
		{"no UTF-8", `"linear"`, "\"\xff\"", "it is not UTF-8: save it as UTF-8"},
	} {
		p, problems := dm.ParsePolicy([]byte(strings.Replace(minimal, c.old, c.new, 1)))
		var lines []string
		for _, p := range problems {
			lines = append(lines, said(p))
		}
		if got := strings.Join(lines, "\n"); got != c.want || (p == nil) != (c.want != "") {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

func TestUnknownMembersAreReported(t *testing.T) {
	p := parsed(t, strings.NewReplacer(`{"match_on"`, `{"x": {"y": [{}]}, "match_on"`, `"uuid": ""`, `"uuid": "", "Capacity": 5`).Replace(minimal))
	if d := cmp.Diff([]string{"x", "rules.r.table_load.Capacity"}, p.Unknown()); d != "" {
		t.Error(d)
	}
}

func TestRulesAreTriedInTheOrderOfTheText(t *testing.T) {
	rule := func(name, fits, minor string) string {
		r := strings.TrimSuffix(strings.TrimPrefix(minimal, `{"match_on": "name", "rules": {"r"`), "}}")
		return strconv.Quote(name) + strings.NewReplacer(`"name": "a"`, `"name": "`+fits+`"`, `"minor": 0`, `"minor": `+minor).Replace(r)
	}
	text := `{"match_on": "name", "rules": {` + rule("z", "a.*", "0") + "," + rule("a", ".*", "1") + "}}"
	p := parsed(t, text)
	tell(t, p, []step{
		{dm.TableLoad, linear("a1", "", 0, 1, 1), nil},
		{dm.TableLoad, linear("b1", "", 0, 1, 1), []string{"dm_table_load.invalid_entry"}},
	})
	if _, problems := dm.ParsePolicy([]byte(text)); problems != nil {
		t.Error(problems)
	}
}

func TestI04_PoliciesAreBounded(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(minimal, old, new, 1) }
	rules := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"` + strconv.Itoa(i) + strings.TrimSuffix(strings.TrimPrefix(minimal, `{"match_on": "name", "rules": {"r`), "}}"))
		}
		return `{"match_on": "name", "rules": {` + b.String()[1:] + "}}"
	}
	unknown := func(s string) string { return with(`{"match_on"`, `{"x": `+s+`, "match_on"`) }
	fill := func(n int) string { return minimal + strings.Repeat(" ", n-len(minimal)) }
	values := 20 // of minimal, and the array
	for _, c := range []struct{ what, within, beyond, want string }{
		{"a text", fill(dm.MaxPolicy), fill(dm.MaxPolicy + 1), "it has 1048577 bytes, the limit is 1048576: use fewer rules"},
		{"depth", unknown(strings.Repeat("[", 15) + strings.Repeat("]", 15)), unknown(strings.Repeat("[", 16) + strings.Repeat("]", 16)), "x" + strings.Repeat("[0]", 15) + ": more than 16 levels deep: take out what is deeper"},
		{"values", unknown("[0" + strings.Repeat(",0", dm.MaxValues-values) + "]"), unknown("[0" + strings.Repeat(",0", dm.MaxValues) + "]"), "x[65534]: more than 65536 values: use fewer rules"},
		{"rules", rules(1000), rules(1001), "rules: more than 1000 rules: join some with expressions"},
		{"the name of a rule", with(`"r"`, `"`+strings.Repeat("r", 256)+`"`), with(`"r"`, `"`+strings.Repeat("r", 257)+`"`), `rules["` + strings.Repeat("r", 200) + `"…]: the name of a rule has 257 bytes, the limit is 256`},
		{"an expression", with(`"a"`, `"`+strings.Repeat("a", 4096)+`"`), with(`"a"`, `"`+strings.Repeat("a", 4097)+`"`), "rules.r.table_load.name: an expression of 4097 bytes, the limit is 4096: use a shorter one"},
		{"expressions", with(`"a"`, `"([^a]{100}){9}"`), with(`"a"`, `"`+strings.Repeat("([^a]{100}){10}", 90)+`"`), "rules.r.table_load.name: the expressions up to this one compile to more than 262144 instructions: use smaller repetitions and classes"},
	} {
		if _, problems := dm.ParsePolicy([]byte(c.within)); problems != nil {
			t.Errorf("%s at its bound: %v", c.what, problems)
		}
		if _, problems := dm.ParsePolicy([]byte(c.beyond)); len(problems) != 1 || said(problems[0]) != c.want {
			t.Errorf("%s beyond its bound: %v", c.what, problems)
		}
	}
	var many strings.Builder
	for i := range 200 {
		many.WriteString(`"u` + strconv.Itoa(i) + `": 0, `)
	}
	if n := len(parsed(t, with(`{"match_on"`, "{"+many.String()+`"match_on"`)).Unknown()); n != dm.MaxReported {
		t.Errorf("%d unknown members are reported", n)
	}
	_, problems := dm.ParsePolicy([]byte(unknown(`{"y": 0` + strings.Repeat(`, "y": 0`, 200) + "}")))
	if len(problems) != dm.MaxProblems {
		t.Errorf("%d problems", len(problems))
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(minimal))
	files, err := filepath.Glob("testdata/policies/*.json")
	if err != nil || files == nil {
		f.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	all := events(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, problems := dm.ParsePolicy(text)
		if (p == nil) != (len(problems) > 0) {
			t.Fatalf("%v, %v", p, problems)
		}
		for _, p := range problems {
			if !utf8.ValidString(said(p)) || strings.Contains(said(p), "\n") {
				t.Errorf("%q", said(p))
			}
		}
		if p == nil {
			return
		}
		var s dm.State
		for _, m := range all {
			s, _ = p.Judge(s, m.name, m.buf)
		}
		again(t, s)
	})
}

// said is a problem in words.
func said(p dm.Problem) string { return strings.TrimPrefix(p.Place+": "+p.Text, ": ") }
