package dm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"quicklime/wire/strictjson"
)

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Place string // such as rules["root disk"].table_load.targets[0].salt; empty: the policy as a whole
	Text  string // one line of printable text
	Line  int    // of the policy's text, from 1
}

// String returns the problem as "place: text".
func (p Problem) String() string {
	if p.Place == "" {
		return p.Text
	}
	return p.Place + ": " + p.Text
}

// A value is one value of a JSON text, with the way to it. encoding/json finds
// the tokens; what it repairs or lets pass is a problem here: a name that an
// object has twice, half a character, anything behind the text's value.
type value struct {
	parent  *value
	name    string     // in an object
	index   int        // in an array, else -1
	token   json.Token // a json.Delim begins an object or array
	offset  int64      // in the text, of what follows the token
	members []*value   // of an object, in the order of the text
	elems   []*value   // of an array
}

// place returns where v is, as a person would write it down.
func (v *value) place() string {
	switch {
	case v.parent == nil:
		return ""
	case v.index >= 0:
		return fmt.Sprintf("%s[%d]", v.parent.place(), v.index)
	case !plainName(v.name):
		return fmt.Sprintf("%s[%s]", v.parent.place(), quote(v.name))
	case v.parent.parent == nil:
		return v.name
	}
	return v.parent.place() + "." + v.name
}

// plainName reports whether a member's name needs no quotes in a place.
func plainName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxShown
}

// kind names what v is.
func (v *value) kind() string {
	return strictjson.Kind(v.token)
}

// A reader reads one JSON text into values and collects problems.
type reader struct {
	text     []byte
	tokens   *json.Decoder
	values   int
	problems []Problem
}

func (r *reader) problem(v *value, format string, args ...any) {
	if len(r.problems) < MaxProblems {
		line := 1 + bytes.Count(r.text[:v.offset], []byte("\n"))
		r.problems = append(r.problems, Problem{v.place(), fmt.Sprintf(format, args...), line})
	}
}

// read reads the text. It returns nil where no one can read on.
func (r *reader) read(text []byte) *value {
	root := &value{index: -1}
	switch {
	case len(text) > MaxPolicy:
		r.problem(root, "%d bytes, the limit is %d: use fewer rules", len(text), MaxPolicy)
		return nil
	case !utf8.Valid(text):
		r.problem(root, "not UTF-8")
		return nil
	}
	r.text, r.tokens = text, json.NewDecoder(bytes.NewReader(text))
	r.tokens.UseNumber()
	if !r.into(root, 1) {
		return nil
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		r.problem(root, "something follows the closing brace")
		return nil
	}
	return root
}

// next reads a token that belongs to v.
func (r *reader) next(v *value) (json.Token, bool) {
	start := r.tokens.InputOffset()
	t, err := r.tokens.Token()
	if err != nil {
		r.malformed(err)
		return nil, false
	}
	if _, ok := t.(string); ok && strictjson.Halved(r.text[start:r.tokens.InputOffset()]) {
		r.problem(v, `an escape \ud800 to \udfff stands for half a character: write the character itself`)
	}
	return t, true
}

// malformed reports a mistake in JSON's grammar.
func (r *reader) malformed(err error) {
	root := &value{index: -1}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.problem(root, "not JSON: the text ends inside a value")
		return
	}
	before := r.text[:r.tokens.InputOffset()]
	line := 1 + bytes.Count(before, []byte("\n"))
	r.problem(root, "not JSON: line %d, column %d: %v", line, len(before)-bytes.LastIndexByte(before, '\n'), err)
}

// into reads a value into v. It is false if nothing can be read behind it.
func (r *reader) into(v *value, depth int) bool {
	var ok bool
	if v.token, ok = r.next(v); !ok {
		return false
	}
	v.offset = r.tokens.InputOffset()
	if r.values++; r.values > MaxValues {
		r.problem(v, "more than %d values: use fewer rules", MaxValues)
		return false
	}
	if v.token != json.Delim('{') && v.token != json.Delim('[') {
		return true
	}
	if depth == MaxDepth {
		r.problem(v, "more than %d levels deep", MaxDepth)
		return false
	}
	if !r.inside(v, depth+1) {
		return false
	}
	_, ok = r.next(v) // the closing delimiter; the decoder insists on the right one
	return ok
}

func (r *reader) inside(v *value, depth int) bool {
	seen := make(map[string]bool)
	for i := 0; r.tokens.More(); i++ {
		in := &value{parent: v, index: i}
		if v.token == json.Delim('{') {
			name, ok := r.next(v)
			if !ok {
				return false
			}
			in.name, in.index, in.offset = name.(string), -1, r.tokens.InputOffset() // the decoder lets nothing else be a name
			if seen[in.name] {
				r.problem(in, "the name is there twice: two readers may take two different values")
			}
			seen[in.name] = true
			v.members = append(v.members, in)
		} else {
			v.elems = append(v.elems, in)
		}
		if !r.into(in, depth) {
			return false
		}
	}
	return true
}

// wrong reports that v is not what is wanted.
func (r *reader) wrong(v *value, want string) { r.problem(v, "%s, want %s", v.kind(), want) }

// object returns the members of v.
func (r *reader) object(v *value) []*value {
	if v.token != json.Delim('{') {
		r.wrong(v, "an object")
	}
	return v.members
}

// array returns the elements of v.
func (r *reader) array(v *value) []*value {
	if v.token != json.Delim('[') {
		r.wrong(v, "an array")
	}
	return v.elems
}

func (r *reader) boolean(v *value) bool {
	b, ok := v.token.(bool)
	if !ok {
		r.wrong(v, "true or false")
	}
	return b
}

// missing reports that the object v has no member of that name, of that value.
func (r *reader) missing(v *value, name, want string) {
	r.problem(&value{parent: v, name: name, index: -1, offset: v.offset}, "missing: want %s", want)
}

// whole returns a whole number as it is written, without a sign before 0.
func whole(n json.Number) (string, bool) {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	u, err := strconv.ParseUint(n.String(), 10, 64)
	return strconv.FormatUint(u, 10), err == nil
}
