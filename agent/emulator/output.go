package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// show writes one measurement as a line: for a person, or as JSON.
func show(w io.Writer, m Measurement, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(m)
	}
	note := ""
	if !m.New {
		note = "  (measured before)"
	}
	_, err := fmt.Fprintf(w, "%6d  %s  %s%s\n", m.Index, m.Digest, m.Path, note)
	return err
}

// progressPause is how often progress is shown: a person reads no faster.
const progressPause = 100 * time.Millisecond

// progress returns what shows progress on a terminal, and on nothing else.
func progress(w io.Writer) func(done, total int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int, int) {}
	}
	start := time.Now()
	shown := start
	return func(done, total int) {
		now := time.Now()
		if now.Sub(shown) < progressPause && (done < total || shown == start) {
			return
		}
		shown = now
		fmt.Fprintf(f, "\rextended %d of %d, %.0f/s ", done, total, float64(done)/now.Sub(start).Seconds())
		if done == total {
			fmt.Fprintln(f)
		}
	}
}
