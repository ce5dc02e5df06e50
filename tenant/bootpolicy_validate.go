package tenant

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/daemon"
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

func summarizeBoot(b *bootpolicy.Policy) bootPolicySummary {
	return bootPolicySummary{b.Digest(), b.SecureBoot(), b.Firmwares(), b.Kernels(), slices.Collect(b.PCRs().All()), b.Warnings(), b.Unknown()}
}

func (s bootPolicySummary) writer(title string) func(io.Writer) {
	return func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, PCRs %v\n", title, bootExtent(s.SecureBoot, s.Firmwares, s.Kernels), s.PCRs)
		for _, each := range s.Warnings {
			fmt.Fprintf(w, "  not judged: %s\n", printable(each))
		}
		for _, each := range s.Unknown {
			fmt.Fprintf(w, "  no part of the format: %s\n", printable(each))
		}
	}
}

// validatedBoot is the JSON of "boot-policy validate".
type validatedBoot struct {
	Files []validatedBootFile `json:"files"`
}

type validatedBootFile struct {
	File     string             `json:"file"`
	Valid    bool               `json:"valid"`
	Problems []problem          `json:"problems,omitempty"`
	More     int                `json:"more_problems,omitempty"` // beside those
	Summary  *bootPolicySummary `json:"summary,omitempty"`       // of a valid one

	Signature *signature `json:"signature,omitempty"` // absent: the file could not be read, or its signature is not good
}

func (p *program) bootPolicyValidate() *cobra.Command {
	var t trust
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Explain every problem of reference states in files, or what they say",
		Long: `Explain every problem of measured-boot reference states in files, with its line, place
and what to write instead; of one without a problem show what it says and what it leaves
open. FILE - is standard input. Nothing is sent to the verifier.

` + helpTrust + `

Exit codes: 0 all can be used, 1 one or more cannot, 2 usage.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "%s takes one FILE or more", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			k, err := p.checker(c, t)
			if err != nil {
				return err
			}
			return p.validateBoot(args, k)
		},
	}
	t.flags(c)
	return c
}

func (p *program) validateBoot(files []string, k *checker) error {
	v := validatedBoot{}
	bad := 0
	for _, file := range files {
		f := p.validateBootFile(file, k)
		if !f.Valid {
			bad++
		}
		v.Files = append(v.Files, f)
	}
	if err := p.show(v, func(w io.Writer) { p.writeValidatedBoot(w, v) }); err != nil {
		return err
	}
	if bad > 0 {
		return daemon.WithHint(fmt.Errorf("%d of %s cannot be used", bad, counted(len(files), "reference state", "reference states")), "correct it at the places named")
	}
	return nil
}

func (p *program) validateBootFile(file string, k *checker) validatedBootFile {
	f := validatedBootFile{File: file}
	text, err := p.readFile(file, bootKind.maxSigned())
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	inside, s, err := k.open(dsse.BootPolicy, text)
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	f.Signature = &s
	compiled, err := bootpolicy.Parse(inside)
	if err != nil {
		f.Problems, f.More = problemsOf(err)
		return f
	}
	summary := summarizeBoot(compiled)
	f.Valid, f.Summary = true, &summary
	return f
}

func (p *program) writeValidatedBoot(w io.Writer, v validatedBoot) {
	for _, f := range v.Files {
		if f.Valid {
			f.Summary.writer(printable(f.File) + ": can be used")(w)
			p.writeSignature(w, "  signature", *f.Signature)
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", printable(f.File), counted(len(f.Problems)+f.More, "problem", "problems"))
		for _, each := range f.Problems {
			fmt.Fprintf(w, "  %s\n", printable(each.String()))
		}
		if f.More > 0 {
			fmt.Fprintf(w, "  and %d more\n", f.More)
		}
	}
}
