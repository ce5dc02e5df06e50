package tenant

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
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

	Signature *signature `json:"signature,omitempty"` // absent: the file could not be read, or its signature is not good
}

type problem struct {
	Line  int    `json:"line,omitempty"`  // from 1
	Place string `json:"place,omitempty"` // such as digests["/usr/bin/x"][0]; empty: the policy as a whole
	Text  string `json:"text"`
}

func (p *program) policyValidate() *cobra.Command {
	var t trust
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Explain every problem of policies in files, or what they say",
		Long: `Explain every problem of policies in files, with its place and what to write
instead; of a policy without a problem show what it says. FILE - is standard input.
Nothing is sent to the verifier.

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
			return p.validate(args, k)
		},
	}
	t.flags(c)
	return c
}

func (p *program) validate(files []string, k *checker) error {
	v := validated{}
	bad := 0
	for _, file := range files {
		f := p.validateFile(file, k)
		if !f.Valid {
			bad++
		}
		v.Files = append(v.Files, f)
	}
	if err := p.show(v, func(w io.Writer) { p.writeValidated(w, v) }); err != nil {
		return err
	}
	if bad > 0 {
		return daemon.WithHint(fmt.Errorf("%d of %s cannot be used", bad, counted(len(files), "policy", "policies")), "correct it at the places named")
	}
	return nil
}

func (p *program) validateFile(file string, k *checker) validatedFile {
	f := validatedFile{File: file}
	text, err := p.readFile(file, dsse.MaxEnvelope)
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	inside, s, err := k.open(dsse.RuntimePolicy, text)
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	f.Signature = &s
	compiled, err := policy.Parse(inside)
	if err != nil {
		f.Problems, f.More = problemsOf(err)
		return f
	}
	f.Valid, f.Summary = true, summarize(compiled)
	return f
}

// problemsOf returns the problems that an error consists of, and how many more there
// are; one that is no *policy.Error is one.
func problemsOf(err error) (all []problem, more int) {
	problems, ok := errors.AsType[*policy.Error](err)
	if !ok {
		return []problem{{Text: err.Error()}}, 0
	}
	for _, each := range problems.Problems {
		all = append(all, problem{each.Line, each.Place, each.Text})
	}
	return all, problems.More
}

func (p *program) writeValidated(w io.Writer, v validated) {
	for i, f := range v.Files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if f.Valid {
			summary := f.Summary.fields(printable(f.File) + ": can be used")
			for _, line := range f.Signature.lines(p) {
				summary.add("signature", "%s", line)
			}
			summary.write(w)
			continue
		}
		where := ""
		if f.Signature != nil && f.Signature.State != unsigned {
			where = " in the policy that was signed, whose lines are counted"
		}
		fmt.Fprintf(w, "%s: %s%s\n", printable(f.File), counted(len(f.Problems)+f.More, "problem", "problems"), where)
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
