package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A schema is the product with every mutant in it at once, so that it is compiled
// and linked once and not once a mutant. (Untch, Offutt and Harrold, "Mutation
// analysis using mutant schemata", 1993.) A function that mutants 3 and 8 change,
//
//	func f(n int) bool { return n < 10 }
//
// becomes three, and its name one that chooses:
//
//	func f(p0 int) bool {
//		switch mutant__ {
//		case 3:
//			return f__3(p0)
//		case 8:
//			return f__8(p0)
//		}
//		return f__0(p0)
//	}
//
// where f__0 is the function to the letter, and the others are it with the edit.
// mutant__ is the number in the environment of the test; without one it is 0.
//
// What cannot be so chosen has no place in it and is built by itself: what changes
// a declaration or a file that is not Go, and what does not compile. Nor has the
// schema the last word on a check that seems to survive, for a test may start
// programs without its environment.
type schema struct {
	root     string
	mutants  []mutant
	switched []bool // whether it has the mutant at the same place of mutants
}

// numberOf is the environment variable with the number of a mutant: its place in
// the schema, from 1.
const numberOf = "MUTANT"

// chooser is a file of every package that has a mutant.
const chooser = `package %s

import (
	"os"
	"strconv"
)

var mutant__, _ = strconv.Atoi(os.Getenv("` + numberOf + `"))
`

func newSchema(root string, mutants []mutant) schema {
	s := schema{root, mutants, make([]bool, len(mutants))}
	for i := range mutants {
		s.switched[i] = true
	}
	return s
}

// overlay writes the files of the schema into dir and returns the file that tells
// "go build -overlay" of them. It strikes from switched what has no place in it.
func (s schema) overlay(dir string) (string, error) {
	files := map[string]*goFile{}
	for i, m := range s.mutants {
		if !s.switched[i] {
			continue
		}
		var err error
		if s.switched[i], err = place(s.root, files, i+1, m); err != nil {
			return "", err
		}
	}
	changed := map[string][]byte{}
	for name, f := range files {
		if len(f.functions) > 0 {
			changed[name] = f.rewritten()
			changed[path.Join(path.Dir(name), "mutant__.go")] = fmt.Appendf(nil, chooser, f.tree.Name)
		}
	}
	return writeOverlay(s.root, dir, changed)
}

// goFile is a file of the product, and what mutants change in it.
type goFile struct {
	text      []byte
	tree      *ast.File
	functions map[*ast.FuncDecl]map[int][]edit // by the number of the mutant
}

// place enters a mutant into the files that it changes, and reports whether it
// could.
func place(root string, files map[string]*goFile, number int, m mutant) (bool, error) {
	in := make([]*ast.FuncDecl, len(m.edits))
	for i, e := range m.edits {
		if !strings.HasSuffix(e.file, ".go") {
			return false, nil
		}
		f, ok := files[e.file]
		if !ok {
			var err error
			if f, err = readGo(filepath.Join(root, e.file)); err != nil {
				return false, err
			}
			files[e.file] = f
		}
		if in[i], ok = f.body(e.old); !ok {
			return false, nil
		}
	}
	for i, e := range m.edits {
		functions := files[e.file].functions
		if functions[in[i]] == nil {
			functions[in[i]] = map[int][]edit{}
		}
		functions[in[i]][number] = append(functions[in[i]][number], e)
	}
	for i, e := range m.edits {
		if !parses(files[e.file].copy(in[i], number)) {
			for j, e := range m.edits {
				delete(files[e.file].functions[in[j]], number)
			}
			return false, nil
		}
	}
	return true, nil
}

func readGo(name string) (*goFile, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &goFile{text, tree, map[*ast.FuncDecl]map[int][]edit{}}, nil
}

// at returns the source of a node.
func (f *goFile) at(n ast.Node) string { return string(f.text[f.offset(n.Pos()):f.offset(n.End())]) }

func (f *goFile) offset(p token.Pos) int { return int(p - f.tree.FileStart) }

// body finds the one function in whose body a text is that is once in the file.
func (f *goFile) body(text string) (*ast.FuncDecl, bool) {
	start := bytes.Index(f.text, []byte(text))
	if bytes.Count(f.text, []byte(text)) != 1 {
		return nil, false
	}
	for _, d := range f.tree.Decls {
		d, ok := d.(*ast.FuncDecl)
		if ok && d.Name.Name != "init" && d.Body != nil && f.offset(d.Body.Lbrace) < start && start+len(text) <= f.offset(d.Body.Rbrace) {
			return d, true
		}
	}
	return nil, false
}

// rewritten returns the file with a chooser in the place of each function that a
// mutant changes, and its copies at the end.
func (f *goFile) rewritten() []byte {
	var text, copies []byte
	end := 0
	for _, d := range f.tree.Decls {
		d, ok := d.(*ast.FuncDecl)
		if !ok || len(f.functions[d]) == 0 {
			continue
		}
		numbers := slices.Sorted(maps.Keys(f.functions[d]))
		text = append(append(text, f.text[end:f.offset(d.Pos())]...), f.choose(d, numbers)...)
		end = f.offset(d.End())
		for _, number := range append(numbers, 0) {
			copies = fmt.Appendf(copies, "\n//line mutant-%d:1\n%s\n", number, f.copy(d, number))
		}
	}
	return append(append(text, f.text[end:]...), copies...)
}

// copy returns a function as a mutant has it, under a name with its number. A
// compiler's error in it names "mutant-number".
func (f *goFile) copy(d *ast.FuncDecl, number int) string {
	text := f.at(d)
	name := f.offset(d.Name.End()) - f.offset(d.Pos())
	head, body := text[:name], text[name:]
	for _, e := range f.functions[d][number] {
		body = strings.Replace(body, e.old, e.text(), 1)
	}
	return fmt.Sprintf("%s__%d%s", head, number, body)
}

// choose returns the function that takes the name of one that mutants change. It
// has the same parameters by names of its own.
func (f *goFile) choose(d *ast.FuncDecl, numbers []int) string {
	call := d.Name.Name + "__%d"
	head := "func "
	if d.Recv != nil {
		head += "(r__ " + f.at(d.Recv.List[0].Type) + ") "
		call = "r__." + call
	}
	head += d.Name.Name
	if t := d.Type.TypeParams; t != nil {
		head += f.at(t)
		call += "[" + strings.Join(names(t), ", ") + "]"
	}
	parameters, arguments := f.parameters(d.Type.Params)
	head += "(" + parameters + ")"
	call += "(" + arguments + ")"
	if d.Type.Results != nil {
		head += " " + f.at(d.Type.Results)
		call = "return " + call
	} else {
		call += "; return"
	}
	b := fmt.Appendf(nil, "%s {\n\tswitch mutant__ {\n", head)
	for _, number := range numbers {
		b = fmt.Appendf(b, "\tcase %d:\n\t\t"+call+"\n", number, number)
	}
	return string(fmt.Appendf(b, "\t}\n\t"+call+"\n}", 0))
}

// parameters returns a list of parameters by other names, and what passes them on.
func (f *goFile) parameters(l *ast.FieldList) (parameters, arguments string) {
	var p, a []string
	for _, field := range l.List {
		more := ""
		if _, ok := field.Type.(*ast.Ellipsis); ok {
			more = "..."
		}
		for range max(1, len(field.Names)) {
			name := fmt.Sprintf("p%d__", len(p))
			p, a = append(p, name+" "+f.at(field.Type)), append(a, name+more)
		}
	}
	return strings.Join(p, ", "), strings.Join(a, ", ")
}

func names(l *ast.FieldList) (all []string) {
	for _, field := range l.List {
		for _, n := range field.Names {
			all = append(all, n.Name)
		}
	}
	return all
}

// parses reports whether a text is a function.
func parses(text string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+text, parser.SkipObjectResolution)
	return err == nil && len(f.Decls) == 1
}

var brokenMutant = regexp.MustCompile(`\bmutant-([0-9]+):[0-9]+`)

// strike takes out the mutants that a compiler's output complains of, and reports
// whether there are any.
func (s schema) strike(output []byte) (struck bool) {
	for _, n := range brokenMutant.FindAllSubmatch(output, -1) {
		number, err := strconv.Atoi(string(n[1]))
		if err == nil && number > 0 && number <= len(s.mutants) && s.switched[number-1] {
			s.switched[number-1], struck = false, true
		}
	}
	return struck
}
