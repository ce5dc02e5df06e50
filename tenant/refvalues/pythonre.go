package refvalues

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"quicklime/verifier/policy"
)

// excludeFile adds the exclusions of an exclude file.
func (c *converter) excludeFile(in Source) {
	n, found := 0, 0
	var all []string
	for line := range bytes.Lines(in.Text) {
		n++
		s := strings.TrimSpace(string(line))
		if s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		place := fmt.Sprintf("%s:%d", in.Name, n)
		if !utf8.ValidString(s) {
			c.problem(place, "%s is not UTF-8", quote(s))
			continue
		}
		if found++; found > policy.MaxExcludes {
			c.problem(place, "more than %d exclusions", policy.MaxExcludes)
			return
		}
		x := c.exclusion(place, s)
		if _, err := compile([]string{x}); err != nil {
			c.problem(place, "%s", reason(err))
		}
		all = append(all, x)
	}
	if list, ok := c.doc["excludes"].([]any); ok {
		c.doc["excludes"] = union(list, all)
	}
}

// reason is what is wrong with the one exclusion of a policy.
func reason(err error) string {
	if e, ok := err.(*policy.Error); ok {
		return e.Problems[0].Text
	}
	return err.Error()
}

// exclusion returns what an exclusion of Keylime's is in a policy of ours.
func (c *converter) exclusion(place, text string) string {
	x, err := fromPython(text)
	if err != nil {
		c.problem(place, "%s: %v", quote(text), err)
		return text
	}
	x = prefixToWhole(x)
	if x != text {
		c.change(place, "%s is written %s", quote(text), quote(x))
	}
	return x
}

// prefixToWhole makes an expression that matches a whole path if x matches its
// beginning. One that RE2 does not have stays as it is.
func prefixToWhole(x string) string {
	tree, err := syntax.Parse(x, syntax.Perl|syntax.DotNL)
	if err != nil || reachesEnd(tree) {
		return x
	}
	if strings.Contains(x, "|") { // which binds less than what follows
		x = "(?:" + x + ")"
	}
	return x + ".*"
}

// reachesEnd reports whether whatever begins as tree matches is matched as a whole.
func reachesEnd(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpEndText:
		return true
	case syntax.OpStar, syntax.OpPlus:
		return tree.Sub[0].Op == syntax.OpAnyChar
	case syntax.OpCapture:
		return reachesEnd(tree.Sub[0])
	case syntax.OpConcat:
		return reachesEnd(tree.Sub[len(tree.Sub)-1])
	case syntax.OpAlternate:
		for _, sub := range tree.Sub {
			if !reachesEnd(sub) {
				return false
			}
		}
		return true
	}
	return false
}

var upTo = regexp.MustCompile(`\A\{,[0-9]+\}`)

// fromPython writes for RE2 what Python's re writes in another way, \Z and {,n},
// and "_" for a space, as the kernel does.
func fromPython(x string) (string, error) {
	var b strings.Builder
	class := false
	for i := 0; i < len(x); i++ {
		switch ch := x[i]; {
		case ch == '\\' && i+1 < len(x):
			i++
			if x[i] == 'Q' {
				return "", fmt.Errorf("character %d: Python has no \\Q", i)
			}
			b.WriteString(escaped(x[i : i+1]))
		case ch == ' ':
			b.WriteByte('_')
		case ch == '{' && !class && upTo.MatchString(x[i:]):
			b.WriteString("{0")
		default:
			class = ch == '[' || class && ch != ']'
			b.WriteByte(ch)
		}
	}
	return b.String(), nil
}

// escaped is a byte behind a backslash, for RE2.
func escaped(ch string) string {
	switch ch {
	case "Z":
		return `\z`
	case " ":
		return "_"
	}
	return `\` + ch
}
