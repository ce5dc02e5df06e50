package bootpolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"quicklime/verifier/policy"
	"quicklime/wire/strictjson"
)

// value is a JSON value with its place.
type value struct {
	token    json.Token // of an object or an array the opening delimiter
	place    string     // such as kernels[0].kernel_cmdline
	line     int        // from 1, that it begins in
	members  []member   // of an object, in the order of the text
	elements []*value   // of an array
}

type member struct {
	name string
	*value
}

// text reads a JSON text into values. What encoding/json does not do is here: the
// names of members are unique, depth and count are bounded, no text is repaired.
type text struct {
	b      []byte
	tokens *json.Decoder
	values int
	line   int // of the offset at
	at     int
	err    *policy.Error
}

// problem reports a problem at a value.
func (t *text) problem(v *value, format string, args ...any) {
	if len(t.err.Problems) == policy.MaxProblems {
		t.err.More++
		return
	}
	t.err.Problems = append(t.err.Problems, policy.Problem{Place: v.place, Text: fmt.Sprintf(format, args...), Line: v.line})
}

// errStop ends the reading behind a problem that was reported.
var errStop = errors.New("stop")

// document reads the whole text; false: nothing can be made of it.
func (t *text) document() (*value, bool) {
	whole := &value{}
	switch {
	case len(t.b) > MaxReference:
		t.problem(whole, "the reference state has %d bytes, the limit is %d: give groups of machines reference states of their own", len(t.b), MaxReference)
		return nil, false
	case !utf8.Valid(t.b):
		t.problem(whole, "it is not UTF-8: save it as UTF-8")
		return nil, false
	}
	t.tokens = json.NewDecoder(bytes.NewReader(t.b))
	t.tokens.UseNumber()
	t.line = 1
	v, err := t.read("", 0)
	if err == nil {
		if _, end := t.tokens.Token(); !errors.Is(end, io.EOF) {
			t.problem(&value{line: t.lineAt()}, "something follows the closing brace: take it out")
			return nil, false
		}
		return v, true
	}
	if !errors.Is(err, errStop) {
		t.problem(&value{line: t.lineAt()}, "not JSON: %v", malformed(err))
	}
	return nil, false
}

func malformed(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends inside a value: it is cut, or a bracket or quote is missing"
	}
	return err.Error()
}

// lineAt is the line that the last token ended in.
func (t *text) lineAt() int {
	to := min(int(t.tokens.InputOffset()), len(t.b))
	t.line += bytes.Count(t.b[t.at:to], []byte("\n"))
	t.at = to
	return t.line
}

// next reads a token of what is at a place.
func (t *text) next(place string) (json.Token, error) {
	from := t.tokens.InputOffset()
	token, err := t.tokens.Token()
	if _, ok := token.(string); ok && strictjson.Halved(t.b[from:t.tokens.InputOffset()]) {
		t.problem(&value{place: place, line: t.lineAt()}, `an escape \ud800 to \udfff stands for half a character: write the character itself`)
	}
	return token, err
}

// read reads a value with all that is in it.
func (t *text) read(place string, depth int) (*value, error) {
	token, err := t.next(place)
	if err != nil {
		return nil, err
	}
	v := &value{token: token, place: place, line: t.lineAt()}
	if t.values++; t.values > MaxValues {
		t.problem(v, "a reference state has at most %d values: give groups of machines reference states of their own", MaxValues)
		return nil, errStop
	}
	if _, opens := token.(json.Delim); !opens {
		return v, nil
	}
	if depth == MaxDepth {
		t.problem(v, "more than %d levels deep, and the format has five: take out what is deeper", MaxDepth)
		return nil, errStop
	}
	if token == json.Delim('{') {
		err = t.readMembers(v, depth)
	} else {
		err = t.readElements(v, depth)
	}
	if err == nil {
		_, err = t.tokens.Token() // the closing delimiter; the decoder insists on the right one
	}
	return v, err
}

func (t *text) readMembers(v *value, depth int) error {
	seen := map[string]bool{}
	for t.tokens.More() {
		token, err := t.next(v.place)
		if err != nil {
			return err
		}
		name := token.(string) // the decoder lets nothing else be a name
		m, err := t.read(memberPlace(v.place, name), depth+1)
		if err != nil {
			return err
		}
		if seen[name] {
			t.problem(m, "the name is there twice: two readers may take two different values; leave one of them")
		}
		seen[name] = true
		v.members = append(v.members, member{name, m})
	}
	return nil
}

func (t *text) readElements(v *value, depth int) error {
	for i := 0; t.tokens.More(); i++ {
		e, err := t.read(fmt.Sprintf("%s[%d]", v.place, i), depth+1)
		if err != nil {
			return err
		}
		v.elements = append(v.elements, e)
	}
	return nil
}

func memberPlace(place, name string) string {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return place + "[" + quote(name) + "]"
		}
	}
	switch {
	case name == "" || len(name) > maxShown:
		return place + "[" + quote(name) + "]"
	case place == "":
		return name
	}
	return place + "." + name
}

// quote returns s in quotes, printable and of bounded length.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	end := maxShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "…"
}

// kind names what a value is.
func (v *value) kind() string {
	return strictjson.Kind(v.token)
}

// object calls each for the members of an object; another value is a problem.
func (t *text) object(v *value, each func(name string, m *value)) {
	if v.token != json.Delim('{') {
		t.problem(v, "%s, want an object", v.kind())
		return
	}
	for _, m := range v.members {
		each(m.name, m.value)
	}
}

// array calls each for the elements of an array; another value is a problem.
func (t *text) array(v *value, limit int, each func(e *value)) {
	if v.token != json.Delim('[') {
		t.problem(v, "%s, want an array", v.kind())
		return
	}
	if len(v.elements) > limit {
		t.problem(v, "%d elements, the limit is %d: give groups of machines reference states of their own", len(v.elements), limit)
		return
	}
	for _, e := range v.elements {
		each(e)
	}
}

func (t *text) str(v *value) (string, bool) {
	s, ok := v.token.(string)
	if !ok {
		t.problem(v, "%s, want a string", v.kind())
	}
	return s, ok
}
