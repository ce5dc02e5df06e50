package tenant

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A colour is an ANSI colour (ECMA-48, section 8.3.117). The zero colour is the
// terminal's own.
type colour int

const (
	red    colour = 31
	green  colour = 32
	yellow colour = 33
)

// A cell is one field of a table.
type cell struct {
	text   string
	colour colour
}

// plain makes cells without a colour.
func plain(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

// A table is rows under a heading. Every row is as long as the heading.
type table struct {
	heading []string
	rows    [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write writes the table with its columns aligned and two spaces between them,
// in colour if asked to. Texts are made printable here and nowhere else, so that
// none is forgotten.
func (t *table) write(w io.Writer, coloured bool) {
	rows := append([][]cell{plain(t.heading...)}, t.rows...)
	widths := make([]int, len(t.heading))
	for _, row := range rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	for _, row := range rows {
		writeRow(w, row, widths, coloured)
	}
}

// writeRow pads every cell but the last: a line has no space at its end.
func writeRow(w io.Writer, row []cell, widths []int, coloured bool) {
	var line strings.Builder
	for i, c := range row {
		line.WriteString(paint(c, coloured))
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
		}
	}
	fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
}

// paint returns the cell's text in its colour.
func paint(c cell, coloured bool) string {
	if !coloured || c.colour == 0 {
		return c.text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c.colour, c.text)
}

// fields is a list of names and values under a title.
type fields struct {
	title string
	pairs [][2]string
}

func (f *fields) add(name, format string, args ...any) {
	f.pairs = append(f.pairs, [2]string{name, fmt.Sprintf(format, args...)})
}

// write writes the title and, below it and indented, the pairs with their values
// aligned.
func (f *fields) write(w io.Writer) {
	width := 0
	for _, p := range f.pairs {
		width = max(width, len(p[0]))
	}
	fmt.Fprintln(w, f.title)
	for _, p := range f.pairs {
		fmt.Fprintf(w, "  %-*s  %s\n", width, p[0], printable(p[1]))
	}
}
