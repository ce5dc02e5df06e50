package strictjson

import (
	"strconv"
	"unicode/utf8"
)

// maxShown bounds what a message quotes: enough to find it.
const maxShown = 200 // bytes

// Quote returns s in quotes, printable and of bounded length, for messages to people.
func Quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	end := maxShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "…"
}
