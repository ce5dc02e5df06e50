package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A mutant is the product without one check, and the test that must notice. In a
// list it is a record, of lines whose text begins in the sixth column:
//
//	I15  the quote covers exactly the PCRs that were asked for
//	from TPM 2.0 Library part 3, 18.4
//	in   verifier/quote/quote.go
//	-    what is there, once in the file; more lines are more of it
//	+    what takes its place
//	test verifier/quote TestI15_QuoteCoversExactlyWhatWasAskedFor
//
// "never" in its place is the same condition made one that never holds, "always"
// one that always does.
//
// The first line names the invariants and the check. "in", "-" and "+" repeat
// where two places check the same and both must go. Empty lines separate records;
// # begins a comment.
type mutant struct {
	at         string // of the record, "file:line"
	invariants []string
	check      string
	from       string // the specification that asks for the check
	edits      []edit
	pkg        string // of the test, as a path in the module
	test       string
}

// edit is one change of a file.
type edit struct{ file, old, new string }

// condition matches a condition, or the line of an if or case with it.
var condition = regexp.MustCompile(`(?m)\A(\s*(?:if |case )?(?:[^;\n]*; )?)(.*?)( \{|:|)$`)

// text is what takes the place of old.
func (e edit) text() string {
	switch e.new {
	case "never":
		return condition.ReplaceAllString(e.old, "${1}false && (${2})${3}")
	case "always":
		return condition.ReplaceAllString(e.old, "${1}true || (${2})${3}")
	}
	return e.new
}

// list is what the records say.
type list struct {
	mutants []mutant
	absent  map[string]string // invariants that nothing enforces yet, and why: "none I20 why"
}

// readList reads every file of a folder, by name.
func readList(dir string) (list, error) {
	l := list{absent: map[string]string{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return l, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return l, err
		}
		if err := l.read(filepath.Base(file), string(text)); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *list) read(file, text string) error {
	var m mutant
	for i, line := range strings.Split(text+"\n", "\n") {
		at := fmt.Sprintf("%s:%d", file, i+1)
		switch {
		case strings.HasPrefix(line, "#"):
		case line != "":
			if m.at == "" {
				m.at = at
			}
			if err := l.line(&m, line); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		case m.at != "":
			if err := m.complete(); err != nil {
				return fmt.Errorf("%s: %w", m.at, err)
			}
			if m.test != "" {
				l.mutants = append(l.mutants, m)
			}
			m = mutant{}
		}
	}
	return nil
}

var invariant = regexp.MustCompile(`^I[0-9]{2}$`)

// line reads one line of a record.
func (l *list) line(m *mutant, line string) error {
	word, text, _ := strings.Cut(line, " ")
	if word != "-" && word != "+" {
		text = strings.TrimLeft(text, " ")
	} else {
		text = strings.TrimPrefix(text, "   ")
	}
	switch {
	case word == "none":
		name, why, _ := strings.Cut(text, " ")
		l.absent[name] = why
	case invariant.MatchString(word):
		m.invariants = append(m.invariants, word)
		if next, _, _ := strings.Cut(text, " "); invariant.MatchString(next) {
			return l.line(m, text)
		}
		m.check = text
	case word == "from":
		m.from = text
	case word == "in":
		m.edits = append(m.edits, edit{file: text})
	case word == "test":
		m.pkg, m.test, _ = strings.Cut(text, " ")
	case word != "-" && word != "+":
		return fmt.Errorf("%q is no word of a record", word)
	case len(m.edits) == 0:
		return fmt.Errorf("%q before the file that it is in", word)
	case word == "-":
		more(&m.edits[len(m.edits)-1].old, text)
	default:
		more(&m.edits[len(m.edits)-1].new, text)
	}
	return nil
}

// more adds a line to a text.
func more(text *string, line string) {
	if *text != "" {
		*text += "\n"
	}
	*text += line
}

var testName = regexp.MustCompile(`^Test(I[0-9]{2}_)+[A-Z]`)

// complete reports what a record lacks. Its test must carry one of the
// invariants in its name.
func (m mutant) complete() error {
	if m.invariants == nil && m.test == "" {
		return nil // it says only which invariants nothing enforces
	}
	switch {
	case len(m.invariants) == 0 || m.check == "":
		return fmt.Errorf("it names no invariant and check")
	case m.from == "":
		return fmt.Errorf("it names no specification")
	case len(m.edits) == 0:
		return fmt.Errorf("it changes nothing")
	case m.pkg == "" || !testName.MatchString(m.test) || !m.carried():
		return fmt.Errorf("%q is no test that carries one of its invariants", m.test)
	}
	for _, e := range m.edits {
		if e.old == "" || e.old == e.new {
			return fmt.Errorf("it changes nothing in %s", e.file)
		}
	}
	return nil
}

func (m mutant) carried() bool {
	for _, i := range m.invariants {
		if strings.Contains(m.test, i+"_") {
			return true
		}
	}
	return false
}

// only returns the mutants that have word as an invariant or in a name; all, if
// there is no word.
func (l list) only(word string) (some []mutant) {
	for _, m := range l.mutants {
		names := strings.Join(m.invariants, " ") + " " + m.pkg + " " + m.test
		for _, e := range m.edits {
			names += " " + e.file
		}
		if strings.Contains(names, word) {
			some = append(some, m)
		}
	}
	return some
}
