package attack_test

import (
	"flag"
	"fmt"
	"os"
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
