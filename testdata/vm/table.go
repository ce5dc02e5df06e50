package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// median of values; 0 of none.
func median[T cmp.Ordered](values []T) (middle T) {
	if len(values) == 0 {
		return middle
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// list writes figures without a fraction.
func list(values []float64) string {
	var words []string
	for _, v := range values {
		words = append(words, fmt.Sprintf("%.0f", v))
	}
	return strings.Join(words, ", ")
}

func writeTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KERNEL\tBOOT PATH\tBOOT s\tENTRIES\tEXECVE TO VERDICT ms\tRESULT")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%d\t%s\t%s\n", r.Kernel, r.Path, r.Boot, r.Entries, list(r.Verdict), r.Result)
	}
	return t.Flush()
}
