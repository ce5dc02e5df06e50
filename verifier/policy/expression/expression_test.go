package expression

import (
	"regexp/syntax"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *syntax.Regexp {
	t.Helper()
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	return re
}

// What is compiled never has more instructions than was estimated.
func TestI04_SizeIsNoLessThanWhatIsCompiled(t *testing.T) {
	for _, text := range []string{
		``, `/a`, `(a|b|cd)*x?`, `(x{100}){10}`, `x{5,}`, `x{0}`, `x{0,7}`, `[a-z]{3,9}`, `\pL+`, `\pL{20}`, `(?i)abc`, `(?i)straße`, `^a$|\bb`,
		`((a{2}){3}){4}`, `/a/long/literal/path`, `(/abc/def){20}`, `((a*)){50}`, `(((a))){50}`, `((?:a+)b?){50}`, `(a*)+(b+)*`, strings.Repeat("ab?", 300),
	} {
		re := parse(t, text)
		program, err := syntax.Compile(re.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		// beside it stand a failure and a match
		if got, want := Size(re)+2, len(program.Inst); got < want {
			t.Errorf("%q: %d estimated, %d instructions", text, got, want)
		}
	}
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		text, value string
		want        bool
	}{
		{"a|b", "b", true},
		{"a|b", "ab", false},
		{"/tmp", "/tmp/x", false},
		{`a\Q.)`, "a.)", true},
		{`a\Q.`, "ab", false},
		{"(?i)a", "A", true},
		{"a$", "a\n", false},
	} {
		x, err := Whole(parse(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := x.MatchString(c.value); got != c.want {
			t.Errorf("%q of %q: %v", c.text, c.value, got)
		}
	}
}
