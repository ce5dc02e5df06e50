package bootpolicy

import (
	"encoding/json"
	"fmt"

	"quicklime/verifier/policy"
	"quicklime/wire/strictjson"
)

// value is one value of a reference state's text.
type value = strictjson.Value

// text collects the problems of one JSON text.
type text struct {
	b   []byte
	err *policy.Error
}

// problem reports a problem at a value.
func (t *text) problem(v *value, format string, args ...any) {
	if len(t.err.Problems) == policy.MaxProblems {
		t.err.More++
		return
	}
	t.err.Problems = append(t.err.Problems, policy.Problem{Place: v.Place(), Text: fmt.Sprintf(format, args...), Line: v.Line(t.b)})
}

// groups is what to do about a reference state that is too large.
const groups = "give groups of machines reference states of their own"

// document reads the whole text; nil: nothing can be made of it.
func (t *text) document() *value {
	return strictjson.Read(t.b, strictjson.Limits{Bytes: MaxReference, Values: MaxValues, Depth: MaxDepth, Less: groups},
		func(v *value, text string) { t.problem(v, "%s", text) })
}

// object calls each for the members of an object; another value is a problem.
func (t *text) object(v *value, each func(name string, m *value)) {
	if v.Token != json.Delim('{') {
		t.problem(v, "%s, want an object", v.Kind())
		return
	}
	for _, m := range v.Members {
		each(m.Name, m)
	}
}

// array calls each for the elements of an array; another value is a problem.
func (t *text) array(v *value, limit int, each func(e *value)) {
	if v.Token != json.Delim('[') {
		t.problem(v, "%s, want an array", v.Kind())
		return
	}
	if len(v.Elements) > limit {
		t.problem(v, "%d elements, the limit is %d: "+groups, len(v.Elements), limit)
		return
	}
	for _, e := range v.Elements {
		each(e)
	}
}

func (t *text) str(v *value) (string, bool) {
	s, ok := v.Token.(string)
	if !ok {
		t.problem(v, "%s, want a string", v.Kind())
	}
	return s, ok
}

// quote returns s in quotes, printable and of bounded length.
func quote(s string) string { return strictjson.Quote(s) }
