package tenant

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
)

// validated is the JSON of "policy validate".
type validated struct {
	Files []validatedFile `json:"files"`
}

type validatedFile struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Problems []problem      `json:"problems,omitempty"`
	More     int            `json:"more_problems,omitempty"` // beside those
	Summary  *policySummary `json:"summary,omitempty"`       // of a valid one
}

type problem struct {
	Line  int    `json:"line,omitempty"`  // from 1
	Place string `json:"place,omitempty"` // such as digests["/usr/bin/x"][0]; empty: the policy as a whole
	Text  string `json:"text"`
}

func (p *program) policyValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE…",
		Short: "Explain every problem of policies in files, or what they say",
		Long: `Explain every problem of policies in files, with its place and what to write
instead; of a policy without a problem show what it says. FILE - is standard input.
Nothing is sent to the verifier.

Exit codes: 0 all can be used, 1 one or more cannot, 2 usage.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "%s takes one FILE or more", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return p.validate(args) },
	}
}

func (p *program) validate(files []string) error {
	v := validated{}
	bad := 0
	for _, file := range files {
		f := p.validateFile(file)
		if !f.Valid {
			bad++
		}
		v.Files = append(v.Files, f)
	}
	if err := p.show(v, func(w io.Writer) { writeValidated(w, v) }); err != nil {
		return err
	}
	if bad > 0 {
		return daemon.WithHint(fmt.Errorf("%d of %s cannot be used", bad, counted(len(files), "policy", "policies")), "correct it at the places named")
	}
	return nil
}

func (p *program) validateFile(file string) validatedFile {
	f := validatedFile{File: file}
	text, err := p.readFile(file, policy.MaxPolicy)
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	compiled, err := policy.Parse(text)
	var problems *policy.Error
	switch {
	case errors.As(err, &problems):
		f.More = problems.More
		for _, each := range problems.Problems {
			f.Problems = append(f.Problems, problem{each.Line, each.Place, each.Text})
		}
	case err != nil:
		f.Problems = []problem{{Text: err.Error()}}
	default:
		f.Valid, f.Summary = true, summarize(compiled)
	}
	return f
}

func writeValidated(w io.Writer, v validated) {
	for i, f := range v.Files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if f.Valid {
			f.Summary.fields(printable(f.File) + ": can be used").write(w)
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

// String returns the problem as "line 3, place: text".
func (each problem) String() string {
	s := each.Text
	if each.Place != "" {
		s = each.Place + ": " + s
	}
	if each.Line > 0 {
		s = fmt.Sprintf("line %d: %s", each.Line, s)
	}
	return s
}
