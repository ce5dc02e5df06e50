package ci

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The rules about imports, by the name that a violation is reported under.
var rules = map[string]func(graph) []string{
	"pure":   pureRule,
	"wire":   wireRule,
	"ima":    imaRule,
	"daemon": daemonRule,
	"tenant": tenantRule,
	"test":   testRule,
}

func TestImports(t *testing.T) {
	g := list(t)
	for name, rule := range rules {
		for _, b := range rule(g) {
			t.Errorf("%s: %s", name, b)
		}
	}
}

func TestMainPackages(t *testing.T) {
	for p, pk := range list(t) {
		if pk.Name != "main" {
			continue
		}
		var files []*ast.File
		for _, name := range pk.GoFiles {
			files = append(files, parse(t, filepath.Join(pk.Dir, name), nil))
		}
		for _, b := range mainRule(p, files) {
			t.Error(b)
		}
	}
}

// list asks the go command for every package of the module.
func list(t *testing.T) graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Name,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	g := graph{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if path, ok := ours(p.ImportPath); ok {
			g[path] = p
		}
	}
	if len(g["wire"].Imports) == 0 {
		t.Fatalf("go list tells nothing of package wire: %d packages", len(g))
	}
	return g
}

func parse(t *testing.T, name string, src any) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tree makes a graph of lines "package: import import".
func tree(lines ...string) graph {
	g := graph{}
	for _, line := range lines {
		p, imports, _ := strings.Cut(line, ":")
		g[p] = pkg{ImportPath: module + "/" + p, Imports: strings.Fields(imports)}
	}
	return g
}

// A tree that breaks nothing.
var clean = []string{
	"wire: fmt io github.com/fxamacker/cbor/v2 quicklime/wire/pcr",
	"wire/pcr: crypto",
	"wire/rest: net/http log/slog quicklime/wire",
	"wire/channel: net quicklime/wire quicklime/wire/pki",
	"wire/pki: os",
	"ima: quicklime/wire/pcr",
	"ima/digsig: quicklime/ima quicklime/wire/pcr",
	"agent: os quicklime/ima quicklime/wire/channel quicklime/agent/push",
	"agent/push: quicklime/wire",
	"registrar/credential: quicklime/wire/tpm",
	"registrar: quicklime/registrar/credential quicklime/wire/channel",
	"verifier/policy: regexp quicklime/ima",
	"verifier/appraise: quicklime/verifier/policy quicklime/wire",
	"verifier/store: database/sql quicklime/wire",
	"verifier: quicklime/verifier/store quicklime/verifier/appraise",
	"tenant: quicklime/verifier/policy quicklime/registrar/ekcert quicklime/wire/rest net/http",
	"wire/tpm/softtpm: testing quicklime/wire/tpm",
	"verifier/verifiertest: testing quicklime/wire/tpm/softtpm",
}

func TestRulesAcceptCleanTree(t *testing.T) {
	for name, rule := range rules {
		if b := rule(tree(clean...)); len(b) > 0 {
			t.Errorf("%s: %q", name, b)
		}
	}
}

func TestRulesReport(t *testing.T) {
	tests := []struct{ rule, pkg, want string }{
		{"pure", "wire: os", "wire is pure and imports os"},
		{"pure", "wire/pcr: os/exec", "wire/pcr is pure and imports os/exec"},
		{"pure", "wire/envelope: net", "wire/envelope is pure and imports net"},
		{"pure", "wire/tpm: net/http", "wire/tpm is pure and imports net/http"},
		{"pure", "wire/jointoken: database/sql", "wire/jointoken is pure and imports database/sql"},
		{"pure", "wire/payload: os", "wire/payload is pure and imports os"},
		{"pure", "wire/notice: net", "wire/notice is pure and imports net"},
		{"pure", "wire/strictcbor: net", "wire/strictcbor is pure and imports net"},
		{"pure", "ima: log", "ima is pure and imports log"},
		{"pure", "ima/digsig: log/slog", "ima/digsig is pure and imports log/slog"},
		{"pure", "registrar/credential: os", "registrar/credential is pure and imports os"},
		{"pure", "registrar/ekcert: os", "registrar/ekcert is pure and imports os"},
		{"pure", "verifier/quote: os", "verifier/quote is pure and imports os"},
		{"pure", "verifier/imalist: os", "verifier/imalist is pure and imports os"},
		{"pure", "verifier/eventlog: os", "verifier/eventlog is pure and imports os"},
		{"pure", "verifier/bootpolicy: os", "verifier/bootpolicy is pure and imports os"},
		{"pure", "verifier/policy: os", "verifier/policy is pure and imports os"},
		{"pure", "verifier/appraise: quicklime/verifier/store", "verifier/appraise is pure and imports verifier/store, which is not"},
		{"pure", "tenant/ca: os", "tenant/ca is pure and imports os"},
		{"pure", "wire: quicklime/wire/rest", "wire is pure and imports wire/rest, which is not"},
		{"wire", "wire: quicklime/wire/channel", "wire imports wire/channel"},
		{"wire", "wire/pcr: quicklime/wire/conf", "wire/pcr imports wire/conf"},
		{"wire", "wire/envelope: quicklime/wire/pki", "wire/envelope imports wire/pki"},
		{"wire", "wire/rest: quicklime/wire/channel", "wire/rest imports wire/pki"}, // by way of channel
		{"ima", "ima: quicklime/wire", "ima imports wire"},
		{"ima", "ima/digsig: quicklime/wire/tpm", "ima/digsig imports wire/tpm"},
		{"daemon", "agent/push: quicklime/verifier/policy", "agent/push imports verifier/policy"},
		{"daemon", "registrar: quicklime/agent/push", "registrar imports agent/push"},
		{"daemon", "verifier/store: quicklime/registrar/credential", "verifier imports registrar/credential"}, // by way of store
		{"daemon", "wire/pki: quicklime/verifier/store", "agent imports verifier/store"},                      // by way of wire
		{"tenant", "tenant: quicklime/verifier/store", "tenant imports verifier/store, which is not pure"},
		{"tenant", "tenant/client: quicklime/registrar", "tenant/client imports registrar, which is not pure"},
		{"test", "wire/envelope: quicklime/wire/tpm/softtpm", "wire/envelope imports wire/tpm/softtpm, which is for tests"},
		{"test", "verifier: quicklime/verifier/verifiertest", "verifier imports verifier/verifiertest, which is for tests"},
		{"test", "registrar: quicklime/registrar/credentialtest", "registrar imports registrar/credentialtest, which is for tests"},
		{"test", "agent/demo: quicklime/agent/swtpm/swtpmtest", "agent/demo imports agent/swtpm/swtpmtest, which is for tests"},
		{"tenant", "tenant: quicklime/agent", "tenant imports agent, which is not pure"},
	}
	for _, tt := range tests {
		got := rules[tt.rule](tree(append(clean, tt.pkg)...))
		found := false
		for _, b := range got {
			found = found || b == tt.want
		}
		if !found {
			t.Errorf("%s with %q: reported %q, want %q", tt.rule, tt.pkg, got, tt.want)
		}
	}
}

func TestMainRule(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"as it should be", `import ("os"; "x"); func main() { os.Exit(x.Main(os.Args[1:])) }`, ""},
		{"two statements", `import "os"; func main() { x := 0; os.Exit(x) }`, "main is not one call of os.Exit"},
		{"another statement", `import "x"; func main() { x.Main() }`, "main is not one call of os.Exit"},
		{"no statement", `func main() {}`, "main is not one call of os.Exit"},
		{"another function", `import "os"; func main() { os.Exit(f()) }; func f() int { return 0 }`, "has a function f"},
		{"init", `import "os"; func main() { os.Exit(0) }; func init() {}`, "has a function init"},
		{"a variable", `import "os"; var v = 1; func main() { os.Exit(v) }`, "declares something"},
	}
	for _, tt := range tests {
		got := strings.Join(mainRule("p", []*ast.File{parse(t, "main.go", "package main; "+tt.src)}), "; ")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: reported %q, want %q", tt.name, got, tt.want)
		}
	}
}
