package tenant

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"quicklime/wire/daemon"
)

func printable(s string) string { return daemon.Printable(s) }

func printableLines(s string) string { return daemon.PrintableLines(s) }

// printableJSON returns the JSON text b with every character that is not
// printable as \uXXXX. That changes no value: beyond white space such characters
// occur only in strings, where JSON reads both forms alike (RFC 8259, section
// 7). A byte that is not UTF-8 becomes \ufffd.
func printableJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		bad := r == utf8.RuneError && n == 1
		if !bad && (r == '\n' || r == '\t' || r == '\r' || unicode.IsPrint(r)) {
			out = append(out, b[:n]...)
		} else {
			out = appendEscaped(out, r)
		}
		b = b[n:]
	}
	return out
}

// appendEscaped appends r as JSON escapes it: beyond U+FFFF as a surrogate pair.
func appendEscaped(b []byte, r rune) []byte {
	for _, unit := range utf16.AppendRune(nil, r) {
		b = append(b, '\\', 'u')
		for shift := 12; shift >= 0; shift -= 4 {
			b = append(b, "0123456789abcdef"[unit>>shift&0xf])
		}
	}
	return b
}
