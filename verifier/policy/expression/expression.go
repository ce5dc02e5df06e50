// Package expression compiles the regular expressions of policies: RE2, each of which
// has to match a whole value. What one takes is known before it is compiled, so that a
// policy of a few kilobytes cannot ask for all the memory of a verifier.
//
// The package is pure.
package expression

import (
	"regexp"
	"regexp/syntax"
)

// Size estimates from above what re compiles to, in instructions of some 40 bytes: one
// for each literal, operator and anchor, the ranges of classes, and all of it as often
// as it is repeated.
func Size(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n += len(re.Rune)
	case syntax.OpCharClass:
		n += len(re.Rune) / 2
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus:
		n++
	}
	for _, sub := range re.Sub {
		n += Size(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max)
	}
	return n
}

// Whole returns what matches where re matches all of a value. The group around it is put
// around what the parser understood, not around the text, in which a parenthesis or a \Q
// could end it. The error is regexp.Compile's.
func Whole(re *syntax.Regexp) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + re.String() + `)\z`)
}
