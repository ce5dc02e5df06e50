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

// module writes files and returns a runner in their folder, and its output.
func module(t *testing.T, files map[string]string) (runner, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module m\n\ngo 1.24\n"
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := &bytes.Buffer{}
	return runner{root: dir, out: out, timeout: 3 * time.Second}, out
}

func compiled(t *testing.T, r runner, mutants ...mutant) programs {
	t.Helper()
	p, err := r.compile(mutants, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// smallTests is the tests of a package of one check.
const smallTests = `package p

import (
	"os"
	"os/exec"
	"testing"
)

func TestI01_Small(t *testing.T) {
	if small(10) {
		t.Error(10)
	}
}

// The program that it starts is not told of the environment.
func TestI01_SmallInAProgram(t *testing.T) {
	if os.Getenv("CHILD") != "" {
		if small(10) {
			os.Exit(1)
		}
		return
	}
	child := exec.Command(os.Args[0], "-test.run=TestI01_SmallInAProgram")
	child.Env = []string{"CHILD=1"}
	if child.Run() != nil {
		t.Error(10)
	}
}
`

// On a module of one check each thing happens that may become of a mutant, whether
// it is one of a schema or built by itself.
func TestRunnerTellsWhatBecameOfAMutant(t *testing.T) {
	r, out := module(t, map[string]string{
		"p/p.go":      "package p\n\nconst max = 10\n\nfunc small(n int) bool { return n < max }\n",
		"p/p_test.go": smallTests,
	})
	of := func(old, new string) mutant {
		return mutant{at: "l:1", invariants: []string{"I01"}, check: "small", from: "own", edits: []edit{{"p/p.go", old, new}}, pkg: "p", test: "TestI01_Small"}
	}
	inProgram := of("n < max", "true")
	inProgram.test = "TestI01_SmallInAProgram"
	cases := []struct {
		mutant         mutant
		inSchema, want string
	}{
		{of("n < max", "true"), killed, killed},
		{of("n < max", "n < 9 || n == 9"), survived, survived},
		{of("return n < max", "for { n++ }"), hung, hung},
		{inProgram, survived, killed},
		{of("n < max", "m"), "", unbuilt},
		{of("n < max", "n <"), "", unbuilt},
		{of("max = 10", "max = 11"), "", killed},
		{of("n < max }", "true }\n\nvar _ = 1"), "", killed},
		{of("n < min", "true"), "", unclear},
	}
	var mutants []mutant
	for _, c := range cases {
		mutants = append(mutants, c.mutant)
	}
	p := compiled(t, r, mutants...)
	if err := r.unchanged(p); err != nil {
		t.Error(err)
	}
	for i, c := range cases {
		if p.switched[i] != (c.inSchema != "") {
			t.Errorf("%v is in the schema: %t", c.mutant.edits, p.switched[i])
		} else if c.inSchema != "" {
			out, err := r.start(p, i+1, c.mutant.pkg, c.mutant.test)
			if got, output := judge(c.mutant, out, err); got != c.inSchema {
				t.Errorf("%v in the schema: %s, want %s\n%s", c.mutant.edits, got, c.inSchema, output)
			}
		}
		if o := r.one(p, i+1); o.verdict != c.want {
			t.Errorf("%v: %s, want %s\n%s", c.mutant.edits, o.verdict, c.want, o.output)
		}
	}
	if err := r.all(compiled(t, r, mutants[:2]...)); err == nil || !strings.Contains(out.String(), survived) {
		t.Errorf("one survived: %v\n%s", err, out)
	}
	absent := mutants[0]
	absent.test = "TestI01_Absent"
	if err := r.unchanged(compiled(t, r, mutants[0], absent)); err == nil {
		t.Error("a test that does not exist passes")
	}
}

// Functions of every form have their mutants in a schema, several of one function
// among them and one of two functions, and each mutant is only itself.
func TestSchemaHasFunctionsOfEveryForm(t *testing.T) {
	r, _ := module(t, map[string]string{
		"p/p.go": `// Package p has functions.
package p // of every form

import "strings"

type T struct{ n int }

func (t T) Method(a, b int) int { return t.n + a*b }

func (*T) unnamed(int, string) int { return 1 }

// G is generic.
type G[K comparable, V any] struct{ m map[K]V }

func (g *G[K, V]) get(k K) (v V, ok bool) {
	v, ok = g.m[k]
	return
}

func generic[A, B any](as []A, f func(A) B) (bs []B) {
	for _, a := range as {
		bs = append(bs, f(a))
	}
	return bs
}

func variadic(sep string, all ...string) string { return strings.Join(all, sep) }

func nothing(n *int) {
	if *n > 1 {
		return
	}
	*n++
}

func recursive(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + recursive(n-1)
}

var early = recursive(3)
`,
		"p/p_test.go": `package p

import "testing"

func Test(t *testing.T) {}

func is[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestI01_Product(t *testing.T) { is(t, T{0}.Method(2, 3), 6) }

func TestI01_Sum(t *testing.T) { is(t, T{1}.Method(2, 1), 3) }

func TestI01_Unnamed(t *testing.T) { is(t, (&T{}).unnamed(1, ""), 1) }

func TestI01_Get(t *testing.T) {
	g := &G[string, int]{map[string]int{"a": 1}}
	n, ok := g.get("a")
	is(t, n, 1)
	is(t, ok, true)
}

func TestI01_Generic(t *testing.T) {
	is(t, generic([]int{1}, func(n int) string { return string(rune('a' + n)) })[0], "b")
}

func TestI01_Variadic(t *testing.T) { is(t, variadic("-", "a", "b"), "a-b") }

func TestI01_Nothing(t *testing.T) {
	n := 1
	nothing(&n)
	is(t, n, 2)
	nothing(&n)
	is(t, n, 2)
}

func TestI01_Recursive(t *testing.T) { is(t, recursive(3), 3) }

func TestI01_Early(t *testing.T) { is(t, early, 3) }

func TestI01_Two(t *testing.T) { is(t, T{1}.Method(2, 3)*recursive(1), 7) }
`,
	})
	var mutants []mutant
	add := func(test string, edits ...edit) {
		for i := range edits {
			edits[i].file = "p/p.go"
		}
		mutants = append(mutants, mutant{at: "l:1", invariants: []string{"I01"}, check: "c", from: "own", edits: edits, pkg: "p", test: "TestI01_" + test})
	}
	add("Product", edit{old: "a*b", new: "a"})
	add("Sum", edit{old: "t.n + a", new: "a"})
	add("Unnamed", edit{old: "string) int { return 1", new: "string) int { return 2"})
	add("Unnamed", edit{old: "{ return 1 }", new: "{ return 2 }"})
	add("Get", edit{old: "\treturn\n}\n\nfunc generic", new: "}"})
	add("Get", edit{old: "ok = g.m[k]\n\treturn", new: "ok = g.m[k]\n\treturn v, false"})
	add("Generic", edit{old: "bs = append(bs, f(a))", new: "f(a)"})
	add("Variadic", edit{old: "strings.Join(all, sep)", new: "sep"})
	add("Nothing", edit{old: "*n > 1", new: "never"})
	add("Nothing", edit{old: "*n++", new: "*n--"})
	add("Recursive", edit{old: "1 + recursive", new: "recursive"})
	add("Early", edit{old: "n == 0", new: "n == 1"})
	add("Two", edit{old: "a*b", new: "a*b*3"}, edit{old: "1 + recursive", new: "2 + recursive"})
	outside := []int{2, 3, 4} // changes the signature, has braces of its body, is in two functions
	p := compiled(t, r, mutants...)
	if err := r.unchanged(p); err != nil {
		t.Fatal(err)
	}
	for i, m := range mutants {
		if want := !slices.Contains(outside, i); p.switched[i] != want {
			t.Errorf("%v is in the schema: %t, want %t", m.edits, !want, want)
			continue
		} else if !want {
			continue
		}
		for _, other := range mutants {
			out, err := r.start(p, i+1, "p", other.test)
			got, _ := judge(other, out, err)
			switch same := other.test == m.test; {
			case same && got != killed, !same && got != survived && !related(m.test, other.test):
				t.Errorf("%v: %s: %s %v\n%s", m.edits, other.test, got, err, out)
			}
		}
	}
}

// related reports whether two tests call one function.
func related(a, b string) bool {
	both := a + b
	return strings.Contains(both, "Two") || strings.Contains(both, "Early") && strings.Contains(both, "Recursive")
}
