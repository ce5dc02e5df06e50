package strictjson_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/strictjson"
)

var limits = strictjson.Limits{Bytes: 1 << 10, Values: 20, Depth: 3, Less: "write less"}

// read reads a text and returns what was said of it, with place and line.
func read(text string) (v *strictjson.Value, problems []string) {
	v = strictjson.Read([]byte(text), limits, func(at *strictjson.Value, what string) {
		problems = append(problems, fmt.Sprintf("%s@%d %s", at.Place(), at.Line([]byte(text)), what))
	})
	return v, problems
}

func TestTree(t *testing.T) {
	v, problems := read("{\n\"a\": [1, {\"b c\": \"x\"}],\n\"d\": {\"e\": null}}")
	if problems != nil {
		t.Fatal(problems)
	}
	b := v.Members[0].Elements[1].Members[0]
	e := v.Member("d").Member("e")
	var got []string
	for _, one := range []*strictjson.Value{v, b, e, v.Member("d").Lacking("f"), v.Lacking("g")} {
		got = append(got, fmt.Sprintf("%q %s", one.Place(), one.Kind()))
	}
	want := []string{`"" an object`, `"a[1][\"b c\"]" a string`, `"d.e" null`, `"d.f" null`, `"g" null`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s, ok := b.Str(); s != "x" || !ok || v.Members[0].Elements[0].Token != json.Number("1") {
		t.Errorf("%q, %v", s, ok)
	}
	if s, ok := v.Member("none").Member("x").Str(); s != "" || ok || !v.Has("a") || v.Has("x") {
		t.Errorf("%q, %v", s, ok)
	}
	if b.Line([]byte("{\n\"a\": [1, {\"b c\": \"x\"}]")) != 2 || e.Line([]byte("{\n\n\n\n")) != 5 {
		t.Error("lines")
	}
}

// I04: a text is bounded, and what encoding/json repairs or lets pass is told of.
func TestI04_WhatIsWrongWithAText(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		read bool
	}{
		{`{"a": 1, "a": 2}`, []string{"a@1 the name is there twice: two readers may take two different values; leave one of them"}, true},
		{"[\n\"\\ud800\"]", []string{`[0]@2 an escape \ud800 to \udfff stands for half a character: write the character itself`}, true},
		{`{"\ud800": 1}`, []string{"[\"�\"]@1 an escape \\ud800 to \\udfff stands for half a character: write the character itself"}, true},
		{"\"\xff\"", []string{"@1 it is not UTF-8: save it as UTF-8"}, false},
		{"[1]\n[2]", []string{"@2 something follows the closing brace: take it out"}, false},
		{"", []string{"@1 not JSON: the text ends inside a value: it is cut, or a bracket or quote is missing"}, false},
		{"[1,\n", []string{"@1 not JSON: the text ends inside a value: it is cut, or a bracket or quote is missing"}, false},
		{"[1,\n2}", []string{"@2 not JSON: column 2: invalid character '}' after array element"}, false},
		{strings.Repeat(" ", 1<<10) + "1", []string{"@1 it has 1025 bytes, the limit is 1024: write less"}, false},
		{"[" + strings.Repeat("0,", 19) + "0]", []string{"[19]@1 more than 20 values: write less"}, false},
		{"[" + strings.Repeat("0,", 18) + "0]", nil, true},
		{"[[[0]]]", nil, true},
		{"[[[[]]]]", []string{"[0][0][0]@1 more than 3 levels deep: take out what is deeper"}, false},
	} {
		v, got := read(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || (v != nil) != c.read {
			t.Errorf("%.40q: read %v\n%s", c.text, v != nil, diff)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"a\n": `"a\n"`, strings.Repeat("x", 200): `"` + strings.Repeat("x", 200) + `"`,
		strings.Repeat("x", 199) + "ü": `"` + strings.Repeat("x", 199) + `"…`, strings.Repeat("\x80", 300): `""…`,
	} {
		if got := strictjson.Quote(s); got != want {
			t.Errorf("%q", got)
		}
	}
}

// FuzzRead: whatever is read without a problem is what encoding/json reads.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"a": [1, {"b": "x"}], "c": null}`, `[true, 1e9, "\ud83d\ude00"]`, `{"a": 1, "a": 2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, problems := read(text)
		if len(problems) > 0 {
			return
		}
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, plain(v)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// plain is a value as encoding/json has it.
func plain(v *strictjson.Value) any {
	switch v.Token {
	case json.Delim('{'):
		o := map[string]any{}
		for _, m := range v.Members {
			o[m.Name] = plain(m)
		}
		return o
	case json.Delim('['):
		all := []any{}
		for _, e := range v.Elements {
			all = append(all, plain(e))
		}
		return all
	}
	return v.Token
}
