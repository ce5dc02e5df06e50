package policy

import (
	"fmt"
	"strings"

	"quicklime/wire/strictjson"
)

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Place string // such as digests["/usr/bin/x"][0]; empty: the policy as a whole
	Text  string // one line of printable text
	Line  int    // of the policy's text, from 1; 0: not known
}

// String returns the problem as "place: text".
func (p Problem) String() string {
	if p.Place == "" {
		return p.Text
	}
	return p.Place + ": " + p.Text
}

// Error lists what is wrong with a policy, in the order of its text.
type Error struct {
	Problems []Problem // at least one
	More     int       // problems found that Problems leaves out
}

// Error returns the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

func (e *Error) add(place, text string) { e.addAt(place, text, 0) }

func (e *Error) addAt(place, text string, line int) {
	if len(e.Problems) == MaxProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, Problem{place, text, line})
}

// A place is where in a JSON text something is: the names of members and the
// indexes of elements that lead to it, outermost first.
type place []step

type step struct {
	name  string
	index int // if 0 or more, of an element, and name is empty
}

// String returns the place as a person would write it down.
func (p place) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case !plain(s.name):
			fmt.Fprintf(&b, "[%s]", quote(s.name))
		case b.Len() == 0:
			b.WriteString(s.name)
		default:
			b.WriteString("." + s.name)
		}
	}
	return b.String()
}

// plain reports whether a member's name needs no quotes in a place.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxShown
}

// quote returns s in quotes, printable and of bounded length.
func quote(s string) string { return strictjson.Quote(s) }
