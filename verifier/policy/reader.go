package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"quicklime/wire/strictjson"
)

// A reader walks one JSON text. It reports every value that is not what the
// caller asks for, with its place, and goes on behind it; what no one can read
// on from, a mistake in JSON's own grammar or a bound on the whole, ends it.
//
// encoding/json finds the tokens. The reader adds what it does not do: member
// names are unique and exact, depth and count are bounded, no text is repaired.
type reader struct {
	text    []byte
	tokens  *json.Decoder
	shift   int   // from an offset of tokens to one in text
	base    place // of the text as a whole
	at      place // of what is being read
	members int
	dead    bool // nothing more is read
	err     *Error
}

func newReader(text []byte, base place, err *Error) *reader {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return &reader{text: text, tokens: d, base: base, at: slices.Clone(base), err: err}
}

// offset is where in the text the last token ended.
func (r *reader) offset() int { return r.shift + int(r.tokens.InputOffset()) }

// resume goes on at an offset of the text, behind the value of a member of the
// outermost object.
func (r *reader) resume(at int) {
	const before = `{"":{}` // what brings a decoder there
	r.tokens = json.NewDecoder(io.MultiReader(strings.NewReader(before), bytes.NewReader(r.text[at:])))
	r.tokens.UseNumber()
	for range 4 {
		r.tokens.Token()
	}
	r.shift = at - len(before)
}

// problem reports a problem at the current place.
func (r *reader) problem(format string, args ...any) {
	r.err.add(r.at.String(), fmt.Sprintf(format, args...))
	if r.base == nil && r.tokens != nil && r.err.More == 0 {
		r.err.Problems[len(r.err.Problems)-1].Line = r.line()
	}
}

// line is the line of the text that the last token ended in.
func (r *reader) line() int {
	return 1 + bytes.Count(r.text[:min(r.offset(), len(r.text))], []byte("\n"))
}

// fatal reports a problem that ends the reader.
func (r *reader) fatal(format string, args ...any) {
	r.problem(format, args...)
	r.dead = true
}

// next reads a token. It is false once the reader is dead.
func (r *reader) next() (json.Token, bool) {
	if r.dead {
		return nil, false
	}
	start := r.offset()
	t, err := r.tokens.Token()
	if err != nil {
		r.malformed(err)
		return nil, false
	}
	if _, ok := t.(string); ok && strictjson.Halved(r.text[start:r.offset()]) {
		r.problem("an escape \\ud800 to \\udfff stands for half a character: write the character itself")
	}
	return t, true
}

// malformed ends the reader at a mistake in the grammar.
func (r *reader) malformed(err error) {
	r.dead = true
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.err.add(r.base.String(), "not JSON: the text ends inside a value: it is cut, or a bracket or quote is missing")
		return
	}
	before := r.text[:r.offset()]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	r.err.add(r.base.String(), fmt.Sprintf("not JSON: line %d, column %d: %v", line, column, err))
}

// object reads an object and calls member for each of its members, which must
// read the value. It is false if the value is no object.
func (r *reader) object(member func(name string)) bool {
	ok := r.open('{', "an object")
	if ok {
		r.eachMember(member)
	}
	return ok
}

// array reads an array and calls element for each of its elements, which must
// read the value. It is false if the value is no array.
func (r *reader) array(element func(i int)) bool {
	ok := r.open('[', "an array")
	if ok {
		r.each(element)
	}
	return ok
}

// open reads an opening delimiter, or reports and skips another value.
func (r *reader) open(delim json.Delim, want string) bool {
	t, ok := r.next()
	if ok && t != delim {
		r.wrong(t, want)
		return false
	}
	return ok
}

// eachMember reads an object from behind its opening brace to its end.
func (r *reader) eachMember(member func(name string)) {
	seen := make(map[string]bool)
	r.each(func(int) {
		inside := r.at
		r.at = inside[:len(inside)-1] // what is wrong with a name has the object's place
		t, ok := r.next()
		r.at = inside
		if !ok {
			return
		}
		if r.members++; r.members > MaxMembers {
			r.fatal("a policy has at most %d members in all its objects together: give groups of machines policies of their own", MaxMembers)
			return
		}
		name := t.(string) // the decoder lets nothing else be a name
		r.at[len(r.at)-1] = step{name, -1}
		if seen[name] {
			r.problem("the name is there twice: two readers may take two different values; leave one of them")
		}
		seen[name] = true
		member(name)
	})
}

// each reads an object or array from behind its opening delimiter to its end.
func (r *reader) each(one func(i int)) {
	if len(r.at) == MaxDepth {
		r.fatal("more than %d levels deep, and the format has ten: take out what is deeper", MaxDepth)
		return
	}
	r.at = append(r.at, step{})
	for i := 0; !r.dead && r.tokens.More(); i++ {
		r.at[len(r.at)-1] = step{"", i}
		one(i)
	}
	r.at = r.at[:len(r.at)-1]
	r.next() // the closing delimiter; the decoder insists on the right one
}

// str reads a string.
func (r *reader) str() (string, bool) {
	t, ok := r.next()
	if !ok {
		return "", false
	}
	s, ok := t.(string)
	if !ok {
		r.wrong(t, "a string")
	}
	return s, ok
}

// number reads a number as it is written.
func (r *reader) number() (json.Number, bool) {
	t, ok := r.next()
	if !ok {
		return "", false
	}
	n, ok := t.(json.Number)
	if !ok {
		r.wrong(t, "a number")
	}
	return n, ok
}

// wrong reports that t begins another value than the one wanted, and skips it.
func (r *reader) wrong(t json.Token, want string) {
	r.problem("%s, want %s", strictjson.Kind(t), want)
	r.skipFrom(t)
}

// skip reads any value.
func (r *reader) skip() {
	if t, ok := r.next(); ok {
		r.skipFrom(t)
	}
}

// skipFrom reads what is left of the value that begins with t.
func (r *reader) skipFrom(t json.Token) {
	switch t {
	case json.Delim('{'):
		r.eachMember(func(string) { r.skip() })
	case json.Delim('['):
		r.each(func(int) { r.skip() })
	}
}

// raw reads any value and returns its text and the token that begins it.
func (r *reader) raw() (text []byte, first json.Token, ok bool) {
	from := r.offset()
	t, ok := r.next()
	if !ok {
		return nil, nil, false
	}
	r.skipFrom(t)
	return bytes.TrimLeft(r.text[from:r.offset()], " \t\r\n:,"), t, !r.dead
}

// end reports anything that follows the value.
func (r *reader) end() {
	if r.dead {
		return
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		r.err.add(r.base.String(), "something follows the closing brace: take it out")
	}
}
