package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// checksFile is the table of all checks for a reader.
const checksFile = "docs/checks.md"

const checksHead = `# The checks, and who asks for them

Made from ` + "`.ci/mutants/list`" + ` with ` + "`go run ./.ci/mutants -write`" + `. ` + "`make mutants`" + ` takes each check out of the
product and sees the test fail. "own" is what no specification asks for but this protocol does: see [protocol.md](protocol.md).

`

// checksPage writes the table: by invariant, then as listed.
func checksPage(root string, l list) ([]byte, error) {
	b := []byte(checksHead)
	for _, i := range invariants {
		b = fmt.Appendf(b, "## %s: %s\n\n", i.name, i.says)
		if why, ok := l.absent[i.name]; ok {
			b = fmt.Appendf(b, "Nothing yet: %s.\n\n", why)
			continue
		}
		b = append(b, "| check | where | asked for by | test |\n|---|---|---|---|\n"...)
		for _, m := range l.mutants {
			if !slices.Contains(m.invariants, i.name) {
				continue
			}
			where, err := m.where(root)
			if err != nil {
				return nil, err
			}
			b = fmt.Appendf(b, "| %s | %s | %s | `%s` in %s |\n", m.check, where, m.from, m.test, m.pkg)
		}
		b = append(b, '\n')
	}
	return b[:len(b)-1], nil
}

// where names the functions that check, with links to their files.
func (m mutant) where(root string) (string, error) {
	var all []string
	for _, e := range m.edits {
		text, err := os.ReadFile(filepath.Join(root, e.file))
		if err != nil {
			return "", err
		}
		at := strings.Index(string(text), e.old)
		if at < 0 {
			return "", fmt.Errorf("%s: %s does not have:\n%s", m.at, e.file, e.old)
		}
		name := path.Base(e.file)
		if strings.HasSuffix(e.file, ".go") {
			if name, err = enclosing(text, at); err != nil {
				return "", err
			}
			name = path.Base(path.Dir(e.file)) + "." + name
		}
		link := fmt.Sprintf("[`%s`](../%s)", name, e.file)
		if !slices.Contains(all, link) {
			all = append(all, link)
		}
	}
	return strings.Join(all, ", "), nil
}

// enclosing names the declaration that a position of a Go file is in.
func enclosing(text []byte, at int) (string, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, d := range f.Decls {
		if at < set.Position(d.Pos()).Offset || at >= set.Position(d.End()).Offset {
			continue
		}
		switch d := d.(type) {
		case *ast.FuncDecl:
			return receiver(d) + d.Name.Name, nil
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && at < set.Position(v.End()).Offset {
					return v.Names[0].Name, nil
				}
			}
		}
	}
	return "", fmt.Errorf("offset %d is in no declaration", at)
}

// receiver is the type of a method with a dot, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}
