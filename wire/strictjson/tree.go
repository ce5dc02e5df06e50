package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Value is one value of a JSON text, with the way to it.
type Value struct {
	Token    json.Token // a json.Delim begins an object or array; a number is a json.Number
	Members  []*Value   // of an object, in the order of the text
	Elements []*Value   // of an array
	Name     string     // of a member
	Offset   int64      // in the text, of what follows the token

	parent *Value
	index  int // in an array, else -1
}

// Kind names what v is, for messages to people.
func (v *Value) Kind() string { return Kind(v.Token) }

// Place returns where v is, as a person would write it down: rules["root disk"].salt[0];
// empty: the whole.
func (v *Value) Place() string {
	switch {
	case v.parent == nil:
		return ""
	case v.index >= 0:
		return fmt.Sprintf("%s[%d]", v.parent.Place(), v.index)
	case !plain(v.Name):
		return fmt.Sprintf("%s[%s]", v.parent.Place(), Quote(v.Name))
	case v.parent.parent == nil:
		return v.Name
	}
	return v.parent.Place() + "." + v.Name
}

// plain reports whether a member's name needs no quotes in a place.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxShown
}

// Member returns the member of the object v that has a name; nil: there is none.
func (v *Value) Member(name string) *Value {
	if v == nil {
		return nil
	}
	for _, m := range v.Members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Has reports whether the object v has a member of that name.
func (v *Value) Has(name string) bool { return v.Member(name) != nil }

// Str returns the string that v is, or false.
func (v *Value) Str() (s string, ok bool) {
	if v != nil {
		s, ok = v.Token.(string)
	}
	return s, ok
}

// Lacking stands for a member that the object v does not have.
func (v *Value) Lacking(name string) *Value {
	return &Value{Name: name, Offset: v.Offset, parent: v, index: -1}
}

// Line is the line of text that v's token ends in, from 1.
func (v *Value) Line(text []byte) int {
	return 1 + bytes.Count(text[:min(int(v.Offset), len(text))], []byte("\n"))
}

// Limits bound a text before its values are kept.
type Limits struct {
	Bytes, Values int
	Depth         int    // of objects and arrays within each other
	Less          string // what to do about a text beyond them: "use fewer rules"
}

// Read reads a text into values. What is wrong with the text, and what encoding/json
// would repair or let pass, it tells problem, with the value that it is about: a name that
// an object has twice, half a character, bytes that are not UTF-8, anything behind the
// text's value. It returns nil where no one can read on.
func Read(text []byte, l Limits, problem func(at *Value, text string)) *Value {
	root := &Value{index: -1}
	switch {
	case len(text) > l.Bytes:
		problem(root, fmt.Sprintf("it has %d bytes, the limit is %d: %s", len(text), l.Bytes, l.Less))
		return nil
	case !utf8.Valid(text):
		problem(root, "it is not UTF-8: save it as UTF-8")
		return nil
	}
	r := reader{text: text, tokens: json.NewDecoder(bytes.NewReader(text)), limits: l, problem: problem}
	r.tokens.UseNumber()
	if !r.into(root, 0) {
		return nil
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		problem(r.here(), "something follows the closing brace: take it out")
		return nil
	}
	return root
}

type reader struct {
	text    []byte
	tokens  *json.Decoder
	from    int64 // where the last token begins, or what is before it
	values  int
	limits  Limits
	problem func(*Value, string)
}

// here stands for the place in the text behind the last token.
func (r *reader) here() *Value { return &Value{Offset: r.tokens.InputOffset(), index: -1} }

// next reads a token that belongs to v.
func (r *reader) next(v *Value) (json.Token, bool) {
	r.from = r.tokens.InputOffset()
	t, err := r.tokens.Token()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		r.problem(r.here(), "not JSON: the text ends inside a value: it is cut, or a bracket or quote is missing")
		return nil, false
	case err != nil:
		before := r.text[:r.tokens.InputOffset()]
		r.problem(r.here(), fmt.Sprintf("not JSON: column %d: %v", len(before)-bytes.LastIndexByte(before, '\n'), err))
		return nil, false
	}
	v.Offset = r.tokens.InputOffset()
	return t, true
}

// whole reports half a character in the token that v's offset is behind.
func (r *reader) whole(v *Value, t json.Token) {
	if _, ok := t.(string); ok && Halved(r.text[r.from:v.Offset]) {
		r.problem(v, `an escape \ud800 to \udfff stands for half a character: write the character itself`)
	}
}

// into reads a value into v. It is false if nothing can be read behind it.
func (r *reader) into(v *Value, depth int) bool {
	var ok bool
	if v.Token, ok = r.next(v); !ok {
		return false
	}
	r.whole(v, v.Token)
	if r.values++; r.values > r.limits.Values {
		r.problem(v, fmt.Sprintf("more than %d values: %s", r.limits.Values, r.limits.Less))
		return false
	}
	if _, opens := v.Token.(json.Delim); !opens {
		return true
	}
	if depth == r.limits.Depth {
		r.problem(v, fmt.Sprintf("more than %d levels deep: take out what is deeper", r.limits.Depth))
		return false
	}
	at := v.Offset
	if !r.inside(v, depth+1) {
		return false
	}
	_, ok = r.next(v) // the closing delimiter; the decoder insists on the right one
	v.Offset = at
	return ok
}

// inside reads what is in an object or an array.
func (r *reader) inside(v *Value, depth int) bool {
	seen := map[string]bool{}
	for i := 0; r.tokens.More(); i++ {
		in := &Value{parent: v, index: i}
		if v.Token == json.Delim('{') {
			in.index = -1
			name, ok := r.next(in)
			if !ok {
				return false
			}
			in.Name = name.(string) // the decoder lets nothing else be a name
			r.whole(in, name)
			if seen[in.Name] {
				r.problem(in, "the name is there twice: two readers may take two different values; leave one of them")
			}
			seen[in.Name] = true
			v.Members = append(v.Members, in)
		} else {
			v.Elements = append(v.Elements, in)
		}
		if !r.into(in, depth) {
			return false
		}
	}
	return true
}
