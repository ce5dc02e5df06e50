// Package ci holds the rules of the source tree that a compiler does not know:
// which package may import which, and what a main package looks like. It has
// only tests, and a folder with a dot, so that "go test ./.ci" runs it and
// ./... leaves it out.
package ci

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

const module = "quicklime"

// pkg is one package as "go list -json" tells it.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string // direct, without those of its tests
}

// graph is the module's packages by their path within it; "wire/pcr" is
// quicklime/wire/pcr.
type graph map[string]pkg

// ours is the path within the module of an import path; false: it is not ours.
func ours(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// under reports whether p is root or below it.
func under(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

// pure packages get time and randomness as arguments and touch nothing outside.
// A package below ima is pure too.
var pure = []string{
	"wire", "wire/pcr", "wire/strictcbor", "wire/strictjson", "wire/envelope", "wire/tpm", "wire/jointoken", "wire/payload", "wire/payload/archive", "wire/notice",
	"ima",
	"registrar/credential", "registrar/ekcert",
	"verifier/quote", "verifier/imalist", "verifier/eventlog", "verifier/systemdlog", "verifier/bootpolicy", "verifier/pcrpolicy",
	"verifier/identity", "verifier/epoch", "verifier/policy", "verifier/policy/dm", "verifier/policy/dsse", "verifier/policy/expression", "verifier/severity", "verifier/appraise",
	"tenant/ca",
}

func isPure(p string) bool { return slices.Contains(pure, p) || under(p, "ima") }

// impure are the packages of the standard library that a pure package does not
// import.
var impure = []string{"os", "os/exec", "net", "net/http", "database/sql", "log", "log/slog"}

// pureRule: a pure package imports, directly, only pure packages of ours and
// nothing impure.
func pureRule(g graph) (broken []string) {
	for p, imp := range g.imports(isPure) {
		if q, ok := ours(imp); ok && !isPure(q) {
			broken = append(broken, fmt.Sprintf("%s is pure and imports %s, which is not", p, q))
		}
		if slices.Contains(impure, imp) {
			broken = append(broken, fmt.Sprintf("%s is pure and imports %s", p, imp))
		}
	}
	return broken
}

// wireRule: the formats do not depend on how they travel or are configured.
func wireRule(g graph) (broken []string) {
	for _, p := range []string{"wire", "wire/pcr", "wire/envelope", "wire/rest"} {
		for q := range g.reached(p) {
			if slices.Contains([]string{"wire/channel", "wire/pki", "wire/conf"}, q) {
				broken = append(broken, fmt.Sprintf("%s imports %s", p, q))
			}
		}
	}
	return broken
}

// imaRule: ima imports nothing of ours but wire/pcr.
func imaRule(g graph) (broken []string) {
	for p, imp := range g.imports(func(p string) bool { return under(p, "ima") }) {
		if q, ok := ours(imp); ok && q != "wire/pcr" && !under(q, "ima") {
			broken = append(broken, fmt.Sprintf("%s imports %s", p, q))
		}
	}
	return broken
}

// daemonRule: agent, registrar and verifier never import each other, not even by
// way of others.
func daemonRule(g graph) (broken []string) {
	daemons := []string{"agent", "registrar", "verifier"}
	for p := range g {
		for q := range g.reached(p) {
			from, to := top(p), top(q)
			if from != to && slices.Contains(daemons, from) && slices.Contains(daemons, to) {
				broken = append(broken, fmt.Sprintf("%s imports %s", p, q))
			}
		}
	}
	return broken
}

// tenantRule: of the daemons the tenant imports the pure packages only, never a
// store, an api or a daemon.
func tenantRule(g graph) (broken []string) {
	for p, imp := range g.imports(func(p string) bool { return under(p, "tenant") }) {
		q, ok := ours(imp)
		if ok && slices.Contains([]string{"agent", "registrar", "verifier"}, top(q)) && !isPure(q) {
			broken = append(broken, fmt.Sprintf("%s imports %s, which is not pure", p, q))
		}
	}
	return broken
}

// forTests reports whether p is for tests alone: a package of that name ending,
// or the TPM that signs whatever a test wants.
func forTests(p string) bool {
	return p == "wire/tpm/softtpm" || strings.HasSuffix(path.Base(p), "test")
}

// testRule: what is for tests alone is imported by tests, and by its like; no
// program has it in it.
func testRule(g graph) (broken []string) {
	for p, imp := range g.imports(func(p string) bool { return !forTests(p) }) {
		if q, ok := ours(imp); ok && forTests(q) {
			broken = append(broken, fmt.Sprintf("%s imports %s, which is for tests", p, q))
		}
	}
	return broken
}

// mainRule: a main package is one statement, a call of os.Exit. files are all
// of the package p.
func mainRule(p string, files []*ast.File) (broken []string) {
	var statements []ast.Stmt
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				if len(d.Specs) > 0 && !isImport(d.Specs[0]) {
					broken = append(broken, fmt.Sprintf("%s declares something", p))
				}
			case *ast.FuncDecl:
				if d.Name.Name != "main" {
					broken = append(broken, fmt.Sprintf("%s has a function %s", p, d.Name.Name))
				}
				statements = append(statements, d.Body.List...)
			}
		}
	}
	if len(statements) != 1 || !isExit(statements[0]) {
		broken = append(broken, fmt.Sprintf("%s: main is not one call of os.Exit", p))
	}
	return broken
}

func isImport(s ast.Spec) bool {
	_, ok := s.(*ast.ImportSpec)
	return ok
}

func isExit(s ast.Stmt) bool {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "os" && sel.Sel.Name == "Exit"
}

// imports yields each direct import of each package that match takes.
func (g graph) imports(match func(string) bool) func(yield func(p, imp string) bool) {
	return func(yield func(p, imp string) bool) {
		for _, p := range slices.Sorted(maps.Keys(g)) {
			if !match(p) {
				continue
			}
			for _, imp := range g[p].Imports {
				if !yield(p, imp) {
					return
				}
			}
		}
	}
}

// reached is every package of ours that p imports, directly or through others of
// ours.
func (g graph) reached(p string) map[string]bool {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(p string) {
		for _, imp := range g[p].Imports {
			if q, ok := ours(imp); ok && !seen[q] {
				seen[q] = true
				visit(q)
			}
		}
	}
	visit(p)
	return seen
}

// top is the first element of a path.
func top(p string) string {
	first, _, _ := strings.Cut(path.Clean(p), "/")
	return first
}
