package conf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// check refuses every key of doc that is no option and every value of another
// type than its option's. The decoder alone would not do: it takes LISTEN for
// listen, and the integer 5 for a Duration of 5 ns. What is no TOML at all is
// left for the decoder to refuse.
func (o options) check(file string, doc []byte) error {
	c := checker{options: o, file: file}
	c.p.Reset(doc)
	for c.p.NextExpression() {
		e := c.p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			c.header(e)
		case unstable.KeyValue:
			c.keyValue(c.table, e)
		}
	}
	return errors.Join(c.errs...)
}

// checker walks the syntax tree of one file.
type checker struct {
	options
	file  string
	p     unstable.Parser
	table string // the current one with a dot behind it, "" for the root
	skip  bool   // it is unknown, which has been said
	errs  []error
}

func (c *checker) fail(line int, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s:%d: %s", c.file, line, fmt.Sprintf(format, args...)))
}

// header enters the table that e names.
func (c *checker) header(e *unstable.Node) {
	name, line := c.key(e)
	c.table, c.skip = name+".", false
	if e.Kind == unstable.Table && c.tables[name] {
		return
	}
	c.skip = true
	if _, ok := c.byName[name]; ok || c.tables[name] {
		c.fail(line, "%s is written as another kind of table than it is", name)
		return
	}
	c.fail(line, "unknown table [%s]%s", name, c.suggest(name))
}

// keyValue checks "key = value" in the table whose name is prefix.
func (c *checker) keyValue(prefix string, e *unstable.Node) {
	if c.skip {
		return
	}
	name, line := c.key(e)
	name = prefix + name
	o, known := c.byName[name]
	switch v := e.Value(); {
	case known:
		c.value(name, o, v, line)
	case c.tables[name] && v.Kind == unstable.InlineTable:
		for kv := v.Child(); kv.Valid(); kv = kv.Next() {
			c.keyValue(name+".", kv)
		}
	case c.tables[name]:
		c.fail(line, "%s is a table, not %s", name, kindWords(v.Kind))
	default:
		c.fail(line, "unknown option %q%s", name, c.suggest(name))
	}
}

// value checks what is assigned to option o.
func (c *checker) value(name string, o option, v *unstable.Node, line int) {
	if !o.list {
		if formOfNode(v.Kind) != o.form {
			c.fail(line, "%s must be %s, not %s", name, o.form, kindWords(v.Kind))
		}
		return
	}
	if v.Kind != unstable.Array {
		c.fail(line, "%s must be a list, not %s", name, kindWords(v.Kind))
		return
	}
	for e := v.Child(); e.Valid(); e = e.Next() {
		if o.fields != nil {
			c.element(name, o, e, line)
			continue
		}
		if formOfNode(e.Kind) != o.form {
			c.fail(line, "%s must be a list of which each is %s, not %s", name, o.form, kindWords(e.Kind))
		}
	}
}

// element checks an element of a list of structs.
func (c *checker) element(name string, o option, e *unstable.Node, line int) {
	if e.Kind != unstable.InlineTable {
		c.fail(line, "%s must be a list of tables {%s}, not of %s", name, strings.Join(slices.Sorted(maps.Keys(o.fields)), ", "), kindWords(e.Kind))
		return
	}
	seen := map[string]bool{}
	for kv := e.Child(); kv.Valid(); kv = kv.Next() {
		member, _ := c.key(kv)
		want, known := o.fields[member]
		seen[member] = true
		switch got := kv.Value().Kind; {
		case !known:
			c.fail(line, "unknown option %q in %s%s", member, name, nearest(member, o.fields))
		case formOfNode(got) != want:
			c.fail(line, "%s in %s must be %s, not %s", member, name, want, kindWords(got))
		}
	}
	for _, member := range slices.Sorted(maps.Keys(o.fields)) {
		if !seen[member] { // the decoder would leave what an earlier file has at its place
			c.fail(line, "%s has an element without %s", name, member)
		}
	}
}

// key returns the dotted key of e and the line it is in, from 1.
func (c *checker) key(e *unstable.Node) (name string, line int) {
	var parts []string
	for k := e.Key(); k.Next(); {
		line = c.p.Shape(k.Node().Raw).Start.Line // a key does not span lines
		parts = append(parts, string(k.Node().Data))
	}
	return strings.Join(parts, "."), line
}

func formOfNode(k unstable.Kind) form {
	switch k {
	case unstable.String:
		return formString
	case unstable.Bool:
		return formBool
	case unstable.Integer:
		return formInteger
	}
	return ""
}

// kindWords says in words what a value is.
func kindWords(k unstable.Kind) string {
	switch k {
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	case unstable.Float:
		return "a fraction"
	}
	if f := formOfNode(k); f != "" {
		return string(f)
	}
	return "a date or time"
}
