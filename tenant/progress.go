package tenant

import (
	"fmt"
	"strings"
)

// A bar shows on a terminal how far something is. Elsewhere it shows nothing.
type bar struct {
	p     *program
	what  string
	whole uint64
	unit  func(uint64) string // how a number of it is written
	shown int                 // hundredths; -1: nothing yet
}

// progress begins to show how far something of so many bytes, or other units, is.
func (p *program) progress(what string, whole uint64, unit func(uint64) string) *bar {
	if p.json || !isTerminal(p.stderr) {
		return nil
	}
	return &bar{p: p, what: what, whole: max(whole, 1), unit: unit, shown: -1}
}

// barWidth is the length of a bar: with its text it fits 80 columns.
const barWidth = 20 // columns

// eraseRest erases what a longer line left (ECMA-48, section 8.3.41).
const eraseRest = "\x1b[K"

// at shows how much is done.
func (b *bar) at(done uint64) {
	if b == nil {
		return
	}
	part := int(100 * min(done, b.whole) / b.whole)
	if part == b.shown {
		return
	}
	b.shown = part
	full := part * barWidth / 100
	fmt.Fprintf(b.p.stderr, "\r%s [%s%s] %3d %%, %s of %s"+eraseRest, printable(b.what), strings.Repeat("#", full), strings.Repeat(".", barWidth-full),
		part, b.unit(done), b.unit(b.whole))
}

// end leaves what was shown where it is.
func (b *bar) end() {
	if b != nil && b.shown >= 0 {
		fmt.Fprintln(b.p.stderr)
	}
}
