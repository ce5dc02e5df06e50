package dm

import (
	"encoding/json"
	"fmt"
	"strconv"

	"quicklime/wire/strictjson"
)

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Place string // such as rules["root disk"].table_load.targets[0].salt; empty: the policy as a whole
	Text  string // one line of printable text
	Line  int    // of the policy's text, from 1
}

// value is one value of a policy's text.
type value = strictjson.Value

// A reader collects the problems of one JSON text.
type reader struct {
	text     []byte
	problems []Problem
}

func (r *reader) problem(v *value, format string, args ...any) {
	if len(r.problems) < MaxProblems {
		r.problems = append(r.problems, Problem{v.Place(), fmt.Sprintf(format, args...), v.Line(r.text)})
	}
}

// read reads the text. It returns nil where no one can read on.
func (r *reader) read(text []byte) *value {
	r.text = text
	return strictjson.Read(text, strictjson.Limits{Bytes: MaxPolicy, Values: MaxValues, Depth: MaxDepth, Less: "use fewer rules"},
		func(v *value, text string) { r.problem(v, "%s", text) })
}

// wrong reports that v is not what is wanted.
func (r *reader) wrong(v *value, want string) { r.problem(v, "%s, want %s", v.Kind(), want) }

// object returns the members of v.
func (r *reader) object(v *value) []*value {
	if v.Token != json.Delim('{') {
		r.wrong(v, "an object")
	}
	return v.Members
}

// array returns the elements of v.
func (r *reader) array(v *value) []*value {
	if v.Token != json.Delim('[') {
		r.wrong(v, "an array")
	}
	return v.Elements
}

func (r *reader) boolean(v *value) bool {
	b, ok := v.Token.(bool)
	if !ok {
		r.wrong(v, "true or false")
	}
	return b
}

// missing reports that the object v has no member of that name, of that value.
func (r *reader) missing(v *value, name, want string) {
	r.problem(v.Lacking(name), "missing: want %s", want)
}

// whole returns a whole number as it is written, without a sign before 0.
func whole(n json.Number) (string, bool) {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	u, err := strconv.ParseUint(n.String(), 10, 64)
	return strconv.FormatUint(u, 10), err == nil
}
