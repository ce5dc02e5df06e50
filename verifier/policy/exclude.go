package policy

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"quicklime/verifier/policy/expression"
)

// exclusions reads the member excludes.
func (p *parser) exclusions() {
	p.excludes = p.expressions("exclusions", "nothing would be left to judge; a machine whose files nobody is to judge has no runtime policy")
}

// expressions reads an array of expressions that match whole paths, and says what it
// would mean that one matches all.
func (p *parser) expressions(what, ofAll string) (all []*regexp.Regexp) {
	p.array(func(i int) {
		text, ok := p.str()
		if !ok {
			return
		}
		if i == MaxExcludes {
			p.fatal("more than %d %s: join some with |", MaxExcludes, what)
			return
		}
		tree, err := parseExpression(text)
		if err != nil {
			p.problem("%v", err)
			return
		}
		if p.program += expression.Size(tree); p.program > MaxProgram {
			p.fatal("the expressions up to this one compile to more than %d instructions: use fewer, or smaller repetitions and classes", MaxProgram)
			return
		}
		x, err := compile(text, tree)
		if err != nil {
			p.problem("%v", err)
			return
		}
		if matchesAll(x) {
			p.problem("%s: it matches every path, so that %s", quote(text), ofAll)
			return
		}
		all = append(all, x)
		for _, w := range doubts(text, tree) {
			p.warnings = note(p.warnings, p.at.String()+": "+w)
		}
	})
	return all
}

// parseExpression parses an exclusion as its author wrote it.
func parseExpression(text string) (*syntax.Regexp, error) {
	if len(text) > MaxExpression {
		return nil, fmt.Errorf("an expression of %d bytes, the limit is %d: make several of it", len(text), MaxExpression)
	}
	tree, err := syntax.Parse(text, syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, explain(text, err)
	}
	return tree, nil
}

// compile makes the matcher of whole paths.
func compile(text string, tree *syntax.Regexp) (*regexp.Regexp, error) {
	x, err := expression.Whole(tree)
	if err != nil {
		return nil, explain(text, err)
	}
	return x, nil
}

// explain says where in an exclusion RE2 stopped and why.
func explain(text string, err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", quote(text), err)
	}
	expr, why := remedy(e)
	if expr == text {
		return fmt.Errorf("%s: %s", quote(text), why)
	}
	at := strings.Index(text, e.Expr)
	return fmt.Errorf("%s: character %d, %s: %s", quote(text), 1+len([]rune(text[:max(at, 0)])), quote(expr), why)
}

// remedy returns what RE2 did not take, why, and what to write instead.
func remedy(e *syntax.Error) (expr, why string) {
	why, instead := e.Code.String(), remedies[e.Code]
	switch {
	case e.Code == syntax.ErrInvalidNamedCapture && (strings.HasPrefix(e.Expr, "(?<=") || strings.HasPrefix(e.Expr, "(?<!")):
		return e.Expr[:4], syntax.ErrInvalidPerlOp.String() + " (" + noLookAround + ")" // RE2 takes it for the beginning of a name
	case e.Code == syntax.ErrInvalidEscape && e.Expr == `\Z`:
		instead = `leave it out, for an expression matches the whole path; where it is one of several ends, write \z`
	}
	if instead != "" {
		why += " (" + instead + ")"
	}
	return e.Expr, why
}

const noLookAround = "RE2 has no look-around and no references to groups: name what is to match instead, in several expressions if need be"

// remedies say what to write instead of what RE2 does not have.
var remedies = map[syntax.ErrorCode]string{
	syntax.ErrInvalidPerlOp:         noLookAround,
	syntax.ErrInvalidEscape:         noLookAround + `; a backslash is written \\`,
	syntax.ErrMissingParen:          `a parenthesis of the path itself is written \(`,
	syntax.ErrUnexpectedParen:       `a parenthesis of the path itself is written \)`,
	syntax.ErrMissingBracket:        `a bracket of the path itself is written \[`,
	syntax.ErrMissingRepeatArgument: `a character of the path itself is written \*, \+ or \?; any text is .*`,
	syntax.ErrInvalidRepeatOp:       `write one of *, + and ?; RE2 has no possessive repetition`,
	syntax.ErrInvalidRepeatSize:     "a thing is repeated at most 1000 times: write * or +",
	syntax.ErrInvalidNamedCapture:   "a group that has a name is written (?P<name>…), with another name for each; its name serves nothing here",
	syntax.ErrInvalidCharRange:      "the first character of a range comes before the last",
	syntax.ErrInvalidCharClass:      "write the characters in brackets, as in [a-z]",
	syntax.ErrTrailingBackslash:     `a backslash of the path itself is written \\`,
	syntax.ErrNestingDepth:          "use fewer parentheses",
	syntax.ErrLarge:                 "use smaller repetitions",
}

// everywhere are paths that have nothing in common but their first byte.
var everywhere = []string{"/init", "/usr/bin/bash", "/lib/x86_64-linux-gnu/libc.so.6", "/etc/passwd", "/opt/B.d/9", "/home/q/.x", "/var/lib/a-b_c,d/e"}

// matchesAll reports whether x matches every path, by trial.
func matchesAll(x *regexp.Regexp) bool {
	for _, path := range everywhere {
		if !x.MatchString(path) {
			return false
		}
	}
	return true
}

var pythonRepeat = regexp.MustCompile(`\{,[0-9]+\}`)

// doubts returns what in an exclusion that compiles is probably not meant.
func doubts(text string, tree *syntax.Regexp) (all []string) {
	if text == "" {
		all = append(all, `"" matches no file, for it must match the whole path: leave it out`)
	}
	if endsInSlash(tree) {
		all = append(all, fmt.Sprintf("%s matches no file, for it must match the whole path: %s is all that is below", quote(text), quote(strings.TrimSuffix(text, "$")+".*")))
	}
	if strings.Contains(text, " ") {
		all = append(all, quote(text)+" has a space, for which the kernel writes _")
	}
	if pythonRepeat.MatchString(text) {
		all = append(all, quote(text)+": RE2 takes {,n} for plain text: write {0,n}")
	}
	return all
}

// endsInSlash reports whether all that tree matches ends with a "/" that it
// spells out.
func endsInSlash(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpLiteral:
		return tree.Rune[len(tree.Rune)-1] == '/'
	case syntax.OpCapture:
		return endsInSlash(tree.Sub[0])
	case syntax.OpConcat:
		last := len(tree.Sub) - 1
		for last > 0 && tree.Sub[last].Op == syntax.OpEndText {
			last--
		}
		return endsInSlash(tree.Sub[last])
	}
	return false
}
