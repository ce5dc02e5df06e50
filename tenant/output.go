package tenant

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"quicklime/wire"
)

// show answers a command: with v as JSON if that was asked for, else as human
// writes it.
func (p *program) show(v any, human func(w io.Writer)) error {
	if !p.json {
		human(p.stdout)
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", printableJSON(b))
	return err
}

// writeJSONLine writes v as JSON on a line.
func (p *program) writeJSONLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", printableJSON(b))
	return err
}

// showTable is show with a table for people, or for a table without rows with what
// that means on standard error.
func (p *program) showTable(v any, t *table, empty string) error {
	return p.show(v, func(w io.Writer) {
		if len(t.rows) == 0 {
			p.say("%s", empty)
			return
		}
		t.write(w, p.coloured(w))
	})
}

// orEmpty makes an empty list [] in JSON, not null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// coloured reports whether w understands and may be sent colours
// (https://no-color.org).
func (p *program) coloured(w io.Writer) bool {
	no := slices.ContainsFunc(p.environ, func(e string) bool {
		value, ok := strings.CutPrefix(e, "NO_COLOR=")
		return ok && value != "" || e == "TERM=dumb"
	})
	return !no && isTerminal(w)
}

// isTerminal reports whether f, a reader or a writer, is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// short is the part of an id that a person sees.
func short(id string) string {
	if len(id) < 12 {
		return id
	}
	return id[:12]
}

// counted is n and the word for so many.
func counted[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// stateCell is a trust state in its colour.
func stateCell(state string) cell {
	switch wire.Trust(state) {
	case wire.Trusted:
		return cell{state, green}
	case wire.Untrusted:
		return cell{state, red}
	}
	return cell{state, yellow}
}

// ago says how long before now t was, in the one unit that fits.
func (p *program) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := p.now().Sub(t)
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

// moment is a time for people: exact, in UTC, and how long ago.
func (p *program) moment(t time.Time) string {
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), p.ago(t))
}

// took is a length of time as a person compares it: µs below a millisecond, ms
// below a second.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d/time.Microsecond)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
