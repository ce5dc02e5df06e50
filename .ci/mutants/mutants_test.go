package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const root = "../.."

func listed(t *testing.T) list {
	t.Helper()
	l, err := readList("list")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Every text that a record takes out is there, once.
func TestEveryRecordFits(t *testing.T) {
	for _, m := range listed(t).mutants {
		if _, err := m.overlay(root, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

// Every invariant has a check in the list, and a test that names it.
func TestEveryInvariantHasACheck(t *testing.T) {
	l := listed(t)
	tests := testsOf(t)
	for _, i := range invariants {
		has := slices.ContainsFunc(l.mutants, func(m mutant) bool { return slices.Contains(m.invariants, i.name) })
		why, absent := l.absent[i.name]
		switch {
		case i.says == "":
			t.Errorf("%s says nothing", i.name)
		case absent && (why == "" || has):
			t.Errorf("%s has checks, or no reason to have none: %q", i.name, why)
		case !absent && !has:
			t.Errorf("%s has no check", i.name)
		case !absent && !strings.Contains(tests, i.name+"_"):
			t.Errorf("%s is in the name of no test", i.name)
		}
	}
}

// testsOf returns the names of all tests that carry an invariant.
func testsOf(t *testing.T) string {
	t.Helper()
	var names []string
	function := regexp.MustCompile(`(?m)^func (TestI[0-9]{2}_\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, f := range function.FindAllSubmatch(b, -1) {
			names = append(names, string(f[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func TestChecksPageIsCurrent(t *testing.T) {
	want, err := checksPage(root, listed(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, checksFile))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the list says (%v): go run ./.ci/mutants -write", checksFile, err)
	}
}

func TestReadRefuses(t *testing.T) {
	good := "I15  a check\nfrom RFC 1\nin   a.go\n-    x\n+    y\ntest p TestI15_X\n"
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing is wrong":            {"", "", ""},
		"no invariant":                {"I15  a check\n", "", "no invariant"},
		"no check":                    {"  a check", "", "no invariant"},
		"no specification":            {"from RFC 1\n", "", "no specification"},
		"no file":                     {"in   a.go\n", "", "before the file"},
		"no text":                     {"-    x\n", "", "changes nothing"},
		"the same text":               {"+    y", "+    x", "changes nothing"},
		"no test":                     {"test p TestI15_X\n", "", "is no test"},
		"a test of another invariant": {"TestI15_X", "TestI16_X", "is no test"},
		"a test of no invariant":      {"TestI15_X", "TestX", "is no test"},
		"an unknown word":             {"from", "form", "no word"},
	} {
		l := list{absent: map[string]string{}}
		err := l.read("f", strings.Replace(good, c.old, c.new, 1))
		if c.want == "" && (err != nil || len(l.mutants) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d records, %v, want %q", name, len(l.mutants), err, c.want)
		}
	}
}

func TestNeverAndAlways(t *testing.T) {
	for old, want := range map[string]string{
		"n > max":                      "false && (n > max)",
		"\tif a || b {\n\t\treturn":    "\tif false && (a || b) {\n\t\treturn",
		"case !ok:":                    "case false && (!ok):",
		"if err := f(x); err != nil {": "if err := f(x); false && (err != nil) {",
		"a := f(); !a":                 "a := f(); false && (!a)",
	} {
		if got := (edit{old: old, new: "never"}).text(); got != want {
			t.Errorf("never %q is %q", old, got)
		}
		if got := (edit{old: old, new: "always"}).text(); got != strings.Replace(want, "false &&", "true ||", 1) {
			t.Errorf("always %q is %q", old, got)
		}
	}
}

// A module of one check, on which each thing happens that may become of a mutant.
func TestRunnerTellsWhatBecameOfAMutant(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module m\n\ngo 1.24\n",
		"p/p.go":      "package p\n\nfunc small(n int) bool { return n < 10 }\n",
		"p/p_test.go": "package p\n\nimport \"testing\"\n\nfunc TestI01_Small(t *testing.T) {\n\tif small(10) {\n\t\tt.Error(10)\n\t}\n}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	r := runner{root: dir, out: &out, timeout: 3 * time.Second}
	of := func(old, new string) mutant {
		return mutant{at: "l:1", invariants: []string{"I01"}, check: "small", from: "own", edits: []edit{{"p/p.go", old, new}}, pkg: "p", test: "TestI01_Small"}
	}
	for want, m := range map[string]mutant{
		killed:   of("n < 10", "true"),
		survived: of("n < 10", "n < 9 || n == 9"),
		unbuilt:  of("n < 10", "m"),
		hung:     of("return n < 10", "for { n++ }"),
		unclear:  of("n < 11", "true"),
	} {
		if got, output := r.try(m); got != want {
			t.Errorf("%s: %s\n%s", want, got, output)
		}
	}
	if err := r.all([]mutant{of("n < 10", "true"), of("n < 10", "n < 9")}); err == nil || !strings.Contains(out.String(), survived) {
		t.Errorf("one survived: %v\n%s", err, &out)
	}
	if err := r.unchanged([]mutant{of("n < 10", "true")}); err != nil {
		t.Error(err)
	}
	absent := of("n < 10", "true")
	absent.test = "TestI01_Absent"
	if err := r.unchanged([]mutant{absent}); err == nil {
		t.Error("a test that does not exist passes")
	}
}
