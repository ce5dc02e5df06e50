package tenant

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"web-1":             "web-1",
		"größe 字":           "größe 字",
		"a\x1b[2Jb":         `a\x1b[2Jb`,
		"two\nlines":        `two\nlines`,
		"c1\u009b31m":       `c1\u009b31m`,
		"right\u202eleft":   `right\u202eleft`,
		"not utf-8 \xff":    `not utf-8 \xff`,
		"\ufffd is printed": "\ufffd is printed",
		"del\x7f":           `del\x7f`,
		`"quoted"`:          `"quoted"`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printableLines("a\x07\nb"); got != `a\a`+"\nb" {
		t.Errorf("printableLines = %q", got)
	}
}

// Whatever is in the strings, the text has no character that a terminal obeys
// and means the same.
func TestPrintableJSONKeepsValues(t *testing.T) {
	in := "esc\x1b c1\u009b bidi\u202e del\x7f tag\U000e0041 plain字 <&>"
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	text := printableJSON(b)
	for _, bad := range []string{"\x1b", "\u009b", "\u202e", "\x7f", "\U000e0041"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%q is in %s", bad, text)
		}
	}
	var out string
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("%q became %q, %v", in, out, err)
	}
	if got := string(printableJSON([]byte("{\n\t\"a\": \"\xff\"}"))); got != "{\n\t\"a\": \"\\ufffd\"}" {
		t.Errorf("%q", got)
	}
}

func TestTable(t *testing.T) {
	tab := table{heading: []string{"A", "LONG", "C"}}
	tab.add(cell{text: "größe"}, stateCell("untrusted"), cell{text: "x\n"})
	tab.add(cell{}, stateCell("trusted"), cell{})
	var plain, coloured strings.Builder
	tab.write(&plain, false)
	tab.write(&coloured, true)
	want := "A      LONG       C\ngröße  untrusted  x\\n\n       trusted\n"
	if plain.String() != want {
		t.Errorf("got:\n%swant:\n%s", plain.String(), want)
	}
	want = "A      LONG       C\ngröße  \x1b[31muntrusted\x1b[0m  x\\n\n       \x1b[32mtrusted\x1b[0m\n"
	if coloured.String() != want {
		t.Errorf("got:\n%swant:\n%s", coloured.String(), want)
	}
}

func TestAgo(t *testing.T) {
	p := &program{now: func() time.Time { return now }}
	for d, want := range map[time.Duration]string{
		-time.Hour:       "just now", // the clock of another machine
		0:                "just now",
		59 * time.Second: "59 s ago",
		59 * time.Minute: "59 min ago",
		47 * time.Hour:   "47 h ago",
		48 * time.Hour:   "2 days ago",
	} {
		if got := p.ago(now.Add(-d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := p.ago(time.Time{}); got != "never" {
		t.Errorf("zero time: %q", got)
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "0 µs",
		731 * time.Microsecond:  "731 µs",
		1500 * time.Microsecond: "1.5 ms",
		2 * time.Second:         "2.0 s",
	} {
		if got := took(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
