package tenant

import (
	"fmt"
	"io"
	"slices"

	"quicklime/verifier/bootpolicy"
)

// bootPolicySummary is what a boot policy says.
type bootPolicySummary struct {
	Digest     string   `json:"digest"` // SHA-256 of its text
	SecureBoot bool     `json:"secure_boot"`
	Firmwares  int      `json:"firmwares"` // alternatives
	Kernels    int      `json:"kernels"`   // alternatives
	PCRs       []int    `json:"pcrs"`      // that are judged
	Warnings   []string `json:"warnings,omitempty"`
	Unknown    []string `json:"unknown_members,omitempty"`
}

// bootSummaryOf compiles a boot policy and says what is in it.
func bootSummaryOf(text []byte) (*bootPolicySummary, error) {
	b, err := bootpolicy.Parse(text)
	if err != nil {
		return nil, err
	}
	return summarizeBoot(b), nil
}

func summarizeBoot(b *bootpolicy.Policy) *bootPolicySummary {
	return &bootPolicySummary{b.Digest(), b.SecureBoot(), b.Firmwares(), b.Kernels(), slices.Collect(b.PCRs().All()), b.Warnings(), b.Unknown()}
}

func (s *bootPolicySummary) write(w io.Writer, title string, signature ...string) {
	fmt.Fprintf(w, "%s: %s, PCRs %v\n", title, bootExtent(s.SecureBoot, s.Firmwares, s.Kernels), s.PCRs)
	for _, each := range signature {
		fmt.Fprintf(w, "  signature: %s\n", printable(each))
	}
	for _, each := range s.Warnings {
		fmt.Fprintf(w, "  not judged: %s\n", printable(each))
	}
	for _, each := range s.Unknown {
		fmt.Fprintf(w, "  no part of the format: %s\n", printable(each))
	}
}
