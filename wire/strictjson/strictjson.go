// Package strictjson is what readers of JSON by hand share: it reads a text into values
// that know where they are, within limits, finds what encoding/json repairs without a word,
// for who signs, digests or compares a text must not read another one than is written, and
// has the words for what a value is.
package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Halved reports whether a JSON text, or a part of one, has an escape for half a
// character: a surrogate, \ud800 to \udfff, without the other one of its pair (RFC 8259,
// section 8.2). encoding/json puts U+FFFD in its place. Where the text is no JSON, its
// escapes are passed over.
func Halved(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return false
		}
		text = text[at:]
		switch {
		case high(text):
			if !low(text[escape:]) {
				return true
			}
			text = text[2*escape:]
		case low(text):
			return true
		default:
			text = text[min(2, len(text)):]
		}
	}
}

// Repaired reports whether encoding/json would read a JSON text, or a part of one, as
// another than is written: it has bytes that are not UTF-8, or is Halved.
func Repaired(text []byte) bool { return !utf8.Valid(text) || Halved(text) }

// escape is the length of \uXXXX.
const escape = 6

func high(text []byte) bool { u, ok := unit(text); return ok && u>>10 == 0xd800>>10 }
func low(text []byte) bool  { u, ok := unit(text); return ok && u>>10 == 0xdc00>>10 }

// unit reads the escape that text begins with, if it is \uXXXX.
func unit(text []byte) (u uint64, ok bool) {
	if len(text) < escape || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(text[2:escape]), 16, 16)
	return u, err == nil
}

// Kind names what a token begins, for messages to people: "an object", "null".
func Kind(t json.Token) string {
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}
