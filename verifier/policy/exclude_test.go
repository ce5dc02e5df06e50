package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"quicklime/wire/pcr"
)

// excluding makes a policy with one exclusion.
func excluding(t *testing.T, expression string) (*Policy, error) {
	t.Helper()
	quoted, err := json.Marshal(expression)
	if err != nil {
		t.Fatal(err)
	}
	return Parse([]byte(around(`"excludes": [` + string(quoted) + `]`)))
}

func TestI25_ExclusionMatchesWholePaths(t *testing.T) {
	for _, test := range []struct {
		expression string
		excluded   []string
		judged     []string
	}{
		{`/tmp`, []string{"/tmp"}, []string{"/tmp/x", "/tmpx", "/tmp\n", "/x/tmp"}},
		{`^/tmp`, []string{"/tmp"}, []string{"/tmp/x", "/tmpx", "/tmp\n", "/x/tmp"}},
		{`^/tmp$`, []string{"/tmp"}, []string{"/tmp/x", "/tmp\n", "/tmp\n/x"}},
		{`^/tmp/.*`, []string{"/tmp/", "/tmp/x", "/tmp/a/b", "/tmp/a\nb"}, []string{"/tmp", "/tmpx", "/x/tmp/y"}},
		{`^/tmp/.*$`, []string{"/tmp/x"}, []string{"/x/tmp/y"}},
		{`\A/tmp/x\z`, []string{"/tmp/x"}, []string{"/tmp/xx"}},
		{`(?m)^/tmp/x$`, []string{"/tmp/x"}, []string{"/tmp/x\n/y", "/y\n/tmp/x"}},
		{`(?-s)/tmp/.*`, []string{"/tmp/x"}, []string{"/tmp/a\nb"}},
		{`(?i)/TMP/[a-z]*`, []string{"/tmp/X"}, []string{"/tmp/1"}},
		{`/a|/b`, []string{"/a", "/b"}, []string{"/ab", "/a|/b", "/a/x", "/x/b"}},
		{`^/a$|^/b$`, []string{"/a", "/b"}, []string{"/ax", "/x/b"}},
		{`/a\z|/b.*`, []string{"/a", "/b/c"}, []string{"/a/c"}},
		{`/x|.*/y`, []string{"/x", "/a/y"}, []string{"/xy", "/x/z", "/a/y/z"}},
		{`.*/y|/x`, []string{"/x", "/a/y"}, []string{"/a/y/z", "/a/x"}},
		{`/x|[/z]y`, []string{"/x", "/y"}, []string{"/xq", "/a/y", "/a/zy"}},
		{`/\Q.*`, []string{"/.*"}, []string{"/x", "/.*)"}},
		{`/(?:a|b)+?`, []string{"/abab"}, []string{"/abx"}},
		{`/(?P<n>a)`, []string{"/a"}, []string{"/aa"}},
		{``, nil, []string{"/", "/x"}},
		{`/`, []string{"/"}, []string{"/x"}},
		{`/[^/]*`, []string{"/x", "/"}, []string{"/x/y"}},
		{`/(a*)*b`, []string{"/" + strings.Repeat("a", 4000) + "b"}, []string{"/" + strings.Repeat("a", 4000)}},
	} {
		p, err := excluding(t, test.expression)
		if err != nil {
			t.Errorf("%s: %v", test.expression, err)
			continue
		}
		for verdict, names := range map[Verdict][]string{Excluded: test.excluded, NotInPolicy: test.judged} {
			for _, name := range names {
				if got := p.JudgeFile([]byte(name), pcr.SHA256, nil).Verdict; got != verdict {
					t.Errorf("%s: %q is %v", test.expression, name, got)
				}
			}
		}
	}
}

func TestI25_ExclusionIsValidated(t *testing.T) {
	for _, test := range []struct{ expression, want string }{
		{`^/a(?!b)`, `excludes[0]: "^/a(?!b)": character 4, "(?!": invalid or unsupported Perl syntax (RE2 has no look-around`},
		{`é(?<=b)`, `character 2, "(?<=": invalid or unsupported Perl syntax (RE2 has no look-around`},
		{`/(a)\1`, `character 5, "\\1": invalid escape sequence (RE2 has no look-around and no references`},
		{`/(?<!x)y`, `character 2, "(?<!": invalid or unsupported Perl syntax (RE2 has no look-around`},
		{`(?<!x)`, `character 1, "(?<!": invalid or unsupported Perl syntax (RE2 has no look-around`},
		{`/(?P<1,>x)`, `invalid named capture (a group that has a name is written`},
		{`/a\Z`, `"\\Z": invalid escape sequence (leave it out`},
		{`/a(`, `excludes[0]: "/a(": missing closing )`},
		{`/a)|(/b`, `unexpected )`},
		{`/a)(?:/b`, `unexpected )`},
		{`[b-a]`, `"b-a": invalid character class range`},
		{`*`, `"*": missing argument to repetition operator`},
		{`x{2000}`, `"{2000}": invalid repeat count`},
		{`((x{100}){100}){100}`, `"{100}": invalid repeat count`},
		{`.*`, `it matches every path`},
		{`^.*$`, `it matches every path`},
		{`/.*`, `it matches every path`},
		{`/x|/.+`, `it matches every path`},
		{`(/[^/]*)*`, `it matches every path`},
		{`(?s).*`, `it matches every path`},
	} {
		_, err := excluding(t, test.expression)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) || e.Problems[0].Place != "excludes[0]" {
			t.Errorf("%s: error %v, want %q in it", test.expression, err, test.want)
		}
	}
}

// An expression that few paths escape is legal as long as some do.
func TestBroadExclusionsAreAllowed(t *testing.T) {
	for _, x := range []string{`/[^u].*`, `/usr/.*`, `/.*\.so[.0-9]*`, `/[^/]*/[^/]*/.*`} {
		if _, err := excluding(t, x); err != nil {
			t.Error(err)
		}
	}
}

func TestDoubtfulExclusionsAreReported(t *testing.T) {
	for expression, want := range map[string]string{
		`^/tmp/`:             `excludes[0]: "^/tmp/" matches no file, for it must match the whole path: "^/tmp/.*" is all that is below`,
		`/home/[^/]*/x/$`:    `"/home/[^/]*/x/.*" is all that is below`,
		`(/tmp/)`:            `matches no file`,
		`/my app/.*`:         `has a space, for which the kernel writes _`,
		`/a{,3}`:             `RE2 takes {,n} for plain text`,
		`/tmp/.*`:            ``,
		`/tmp`:               ``,
		`/a/|/b`:             ``,
		`^/usr/(bin|lib)/.*`: ``,
		``:                   `matches no file`,
	} {
		p, err := excluding(t, expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got := strings.Join(p.Warnings(), "\n")
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q in it", expression, got, want)
		}
	}
}
