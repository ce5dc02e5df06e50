package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestErrorIsBounded(t *testing.T) {
	_, err := Parse([]byte(around(`"excludes": [` + strings.Repeat(`0,`, MaxProblems+6) + `0]`)))
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != MaxProblems || e.More != 7 {
		t.Fatalf("error %v", err)
	}
	if !strings.HasSuffix(err.Error(), "\nand 7 more") {
		t.Errorf("error ends %q", err.Error()[len(err.Error())-40:])
	}
}

func TestI04_PolicyIsBounded(t *testing.T) {
	list := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	for _, test := range []struct {
		name, ok, over, want string
	}{
		{"depth", around(`"a": ` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1)), around(`"a": ` + strings.Repeat("[", 1e6)), "32 levels deep"},
		{"path", around(`"digests": {"` + strings.Repeat("x", MaxPath) + `": []}`), around(`"digests": {"` + strings.Repeat("x", MaxPath+1) + `": []}`), "a path of 4097 bytes"},
		{"digests", around(`"digests": {"/x": [` + list(MaxDigests, `"`+hex40+`"`) + `]}`), around(`"digests": {"/x": [` + list(MaxDigests+1, `"`+hex40+`"`) + `]}`), "1001 digests are listed"},
		{"digests of paths that are one", around(`"digests": {"/a_b": [` + list(MaxDigests, `"`+hex40+`"`) + `]}`), around(`"digests": {"/a_b": [` + list(MaxDigests, `"`+hex40+`"`) + `], "/a b": ["` + hex40 + `"]}`), `1001 digests are listed for "/a_b"`},
		{"exclusions", around(`"excludes": [` + list(MaxExcludes, `"/x"`) + `]`), around(`"excludes": [` + list(MaxExcludes+1, `"/x"`) + `]`), "more than 10000 exclusions"},
		{"expression", around(`"excludes": ["` + strings.Repeat("x", MaxExpression) + `"]`), around(`"excludes": ["` + strings.Repeat("x", MaxExpression+1) + `"]`), "an expression of 8193 bytes"},
		{"repetition", around(`"excludes": ["(x{100}){10}"]`), around(`"excludes": ["((\\pL{10}){10}){10}"]`), "compile to more than 262144"},
		{"program", around(`"excludes": [` + list(200, `"x{300}"`) + `]`), around(`"excludes": [` + list(200, `"x{1000}"`) + `]`), "compile to more than 262144"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustParse(t, test.ok)
			_, err := Parse([]byte(test.over))
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) || len(e.Problems) != 1 {
				t.Errorf("error %v, want %q in it and nothing else", err, test.want)
			}
		})
	}
}

func TestI04_PolicyTextIsBounded(t *testing.T) {
	text := make([]byte, MaxPolicy)
	text[0] = '{'
	if err := checkText(text); err != nil {
		t.Error(err)
	}
	_, err := Parse(make([]byte, MaxPolicy+1))
	if err == nil || !strings.Contains(err.Error(), "268435457 bytes, the limit is 268435456") {
		t.Errorf("error %v", err)
	}
}

// The bound is on all objects together, so it is near once many were read.
func TestI04_PolicyMembersAreBounded(t *testing.T) {
	for text, want := range map[string]int{`{"a": {"b": [{"c": 1}]}}`: 0, `{"a": {"b": [{"c": 1, "d": {}}]}}`: 1} {
		problems := &Error{}
		r := newReader([]byte(text), nil, problems)
		r.members = MaxMembers - 3
		r.skip()
		if len(problems.Problems) != want {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range MaxReported + 5 {
		fmt.Fprintf(&b, `,"x%d": 0`, i)
	}
	p := mustParse(t, `{"meta": {"version": 1}`+b.String()+`}`)
	if len(p.Unknown()) != MaxReported {
		t.Errorf("%d unknown members are listed", len(p.Unknown()))
	}
}
