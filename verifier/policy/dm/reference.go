package dm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"quicklime/verifier/policy/expression"
)

// A reference is what a rule says of one value. The zero reference is satisfied
// by no value.
type reference struct {
	text   string                // as in the policy
	match  func(got string) bool // nil: none
	absent bool                  // satisfied also by a value that is not there
}

func (r reference) allows(got string) bool { return r.match != nil && r.match(got) }

// anything is satisfied by any value, and by none.
var anything = reference{text: "null", match: func(string) bool { return true }, absent: true}

// reference reads a reference.
func (p *parser) reference(v *value) reference {
	switch t := v.Token.(type) {
	case nil:
		return anything
	case bool:
		return reference{text: strconv.FormatBool(t), match: func(got string) bool {
			b, ok := truth(got)
			return ok && b == t
		}}
	case json.Number:
		return p.number(v, t)
	case string:
		return p.expression(v, t)
	}
	p.wrong(v, "an expression, a number, true, false or null")
	return reference{}
}

// renameReference reads a reference for a new name or uuid, which no boolean
// admits.
func (p *parser) renameReference(v *value) reference {
	if b, ok := v.Token.(bool); ok {
		return reference{text: strconv.FormatBool(b)}
	}
	return p.reference(v)
}

func (p *parser) number(v *value, n json.Number) reference {
	want, ok := whole(n)
	if !ok {
		p.problem(v, "%s, want a whole number of 64 bits", quote(n.String()))
	}
	return reference{text: want, match: func(got string) bool {
		n, ok := whole(json.Number(got))
		return ok && n == want
	}}
}

// truth reads a word that stands for true or false, as Keylime does.
func truth(s string) (is, ok bool) {
	switch strings.ToLower(s) {
	case "y", "yes", "t", "true", "on", "1":
		return true, true
	case "n", "no", "f", "false", "off", "0":
		return false, true
	}
	return false, false
}

// expression compiles an expression that must match a whole value.
func (p *parser) expression(v *value, text string) reference {
	if len(text) > MaxExpression {
		p.problem(v, "an expression of %d bytes, the limit is %d: use a shorter one", len(text), MaxExpression)
		return reference{}
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		p.problem(v, "%v", explain(text, err))
		return reference{}
	}
	if pythonRepeat.MatchString(text) {
		p.problem(v, "%s: RE2 takes {,n} for plain text: write {0,n}", quote(text))
		return reference{}
	}
	if p.program > MaxProgram {
		return reference{} // as was said before
	}
	if p.program += expression.Size(tree); p.program > MaxProgram {
		p.problem(v, "the expressions up to this one compile to more than %d instructions: use smaller repetitions and classes", MaxProgram)
		return reference{}
	}
	x, err := expression.Whole(tree)
	if err != nil {
		p.problem(v, "%v", explain(text, err))
		return reference{}
	}
	return reference{text: text, match: x.MatchString}
}

var pythonRepeat = regexp.MustCompile(`\{,[0-9]+\}`)

// explain says where in an expression RE2 stopped and why.
func explain(text string, err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", quote(text), err)
	}
	why := e.Code.String()
	if e.Code == syntax.ErrInvalidPerlOp || e.Code == syntax.ErrInvalidEscape {
		why += ` (RE2 has no look-around, no references to groups and no \Z; an expression matches the whole value)`
	}
	at := max(strings.Index(text, e.Expr), 0)
	return fmt.Errorf("%s: character %d, %s: %s", quote(text), 1+len([]rune(text[:at])), quote(e.Expr), why)
}
