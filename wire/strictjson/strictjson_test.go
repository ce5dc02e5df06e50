package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"quicklime/wire/strictjson"
)

func TestHalved(t *testing.T) {
	for text, want := range map[string]bool{
		``: false, `"a"`: false, `"😀"`: false, "\"\ufffd\"": false, `"\ufffd"`: false,
		`"\ud83d\ude00"`: false, `"\uD83D\uDE00"`: false, "\"\ufffd\\ud83d\\ude00\"": false,
		`"\\ud83d"`: false, `"\\\\udc00"`: false, `"\"\\ud83d\""`: false,
		`"\ud800"`: true, `"\udc00"`: true, `"\uDFFF"`: true, `"\ud83d\ud83d"`: true, `"\ud83d\ud83d\ude00"`: true,
		`"\ude00\ud83d"`: true, `"\ud83dx\ude00"`: true, `"\\\ud83d"`: true, `"\ud83d\\ude00"`: true, `"\ud83d\n"`: true, `{"\ud800": 1}`: true,
		`\`: false, `\u`: false, `\ud83`: false, `\uzzzz`: false, `\ud83d`: true, `\ud83d\`: true, `\ud83d\udc0`: true,
	} {
		if got := strictjson.Halved([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestRepairedIsAlsoWhatIsNotUTF8(t *testing.T) {
	for text, want := range map[string]bool{"\"\xff\"": true, "\"\xed\xa0\x80\"": true, `"\ud800"`: true, `"é"`: false} {
		if got := strictjson.Repaired([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// What is not repaired is read as it is written: the text of a string that has U+FFFD
// has it written, as itself or as its escape.
func FuzzRepaired(f *testing.F) {
	for _, s := range []string{`"\ud83d\ude00"`, `"\ud83d"`, `"\\ud83d"`, "\"\xff\"", "\"\ufffd\"", `"\ufffd\ude00"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s string
		if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
			return
		}
		written := strings.Count(string(raw), "\ufffd") + strings.Count(strings.ToLower(string(raw)), `\ufffd`)
		if !utf8.Valid(raw) {
			written = strings.Count(string([]rune(string(raw))), "\ufffd") // each bad byte looks like one
		}
		read := strings.Count(s, "\ufffd")
		if repaired := strictjson.Repaired(raw); !repaired && read > written || repaired && read == 0 {
			t.Errorf("%q is repaired: %v, and reads %q", raw, repaired, s)
		}
	})
}
