package attack_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const page = "../../docs/threat-model.md"

// The table of the attacks stands between these lines of the page.
const (
	tableBegin = "<!-- attacks on the verifier: go test ./verifier/attack -run TestPage -update -->\n"
	tableEnd   = "<!-- end of the attacks on the verifier -->\n"
)

var update = flag.Bool("update", false, "write the table of attacks into "+page)

// table is what the page says of the attacks.
func table() string {
	var b strings.Builder
	b.WriteString("| attack | what refuses it | what the operator sees |\n|---|---|---|\n")
	for _, g := range groups {
		for _, a := range g.attacks {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", a.name, a.refuser.does, a.seen)
		}
	}
	return b.String()
}

func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), tableBegin)
	got, after, ok := strings.Cut(rest, tableEnd)
	if !ok {
		t.Fatalf("%s has no table between %q and %q", page, tableBegin, tableEnd)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+tableBegin+table()+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.SplitAfter(table(), "\n"), strings.SplitAfter(got, "\n")); d != "" {
		t.Errorf("%s does not list the attacks that are tried (-tried +listed):\n%s", page, d)
	}
}

func TestNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, a := range g.attacks {
			if seen[a.name] || a.name == "" || a.refuser.does == "" || a.seen.String() == "" {
				t.Errorf("%q: it has no name of its own, nothing that refuses it, or nothing to be seen", a.name)
			}
			if a.seen.rejection != "" && a.refuser.says == "" {
				t.Errorf("%q: a rejection by anything would do", a.name)
			}
			seen[a.name] = true
		}
	}
}

// TestPageNamesTests holds the tests that the page names, in the last column of a table,
// against those that there are.
func TestPageNamesTests(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(b, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
	if len(named) == 0 {
		t.Fatalf("%s names no test", page)
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("%s names %s, which there is not", page, m[1])
		}
	}
}
