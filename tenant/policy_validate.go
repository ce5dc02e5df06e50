package tenant

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
)

// summary is what a policy of one kind says.
type summary interface {
	// write lays it out, with what is known of its signature, a line each.
	write(w io.Writer, title string, signature ...string)
}

// validated is the JSON of "validate".
type validated[S summary] struct {
	Files []validatedFile[S] `json:"files"`
}

type validatedFile[S summary] struct {
	File     string    `json:"file"`
	Valid    bool      `json:"valid"`
	Problems []problem `json:"problems,omitempty"`
	More     int       `json:"more_problems,omitempty"` // beside those
	Summary  S         `json:"summary,omitempty"`       // of a valid one

	Signature *signature `json:"signature,omitempty"` // absent: the file could not be read, or its signature is not good
}

type problem struct {
	Line  int    `json:"line,omitempty"`  // from 1
	Place string `json:"place,omitempty"` // such as digests["/usr/bin/x"][0]; empty: the policy as a whole
	Text  string `json:"text"`
}

// policyValidate is of the kind k, of which summarize says what a good policy says.
func policyValidate[S summary](p *program, k policyKind, summarize func(text []byte) (S, error)) *cobra.Command {
	var t trust
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Explain every problem of " + k.many + " in files, or what they say",
		Long: "Explain every problem of " + k.many + ` in files, with its line, place and what to write
instead; of one without a problem show what it says. FILE - is standard input. Nothing is
sent to the verifier.

` + helpTrust + `

Exit codes: 0 all can be used, 1 one or more cannot, 2 usage.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "%s takes one FILE or more", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			trusted, err := p.checker(c, t)
			if err != nil {
				return err
			}
			v := validated[S]{}
			bad := 0
			for _, file := range args {
				f := validate(p, k, file, trusted, summarize)
				if !f.Valid {
					bad++
				}
				v.Files = append(v.Files, f)
			}
			if err := p.show(v, func(w io.Writer) { v.write(p, w) }); err != nil {
				return err
			}
			if bad > 0 {
				return daemon.WithHint(fmt.Errorf("%d of %s cannot be used", bad, counted(len(args), k.word, k.many)), "correct it at the places named")
			}
			return nil
		},
	}
	t.flags(c)
	return c
}

func validate[S summary](p *program, k policyKind, file string, trusted *checker, summarize func(text []byte) (S, error)) validatedFile[S] {
	f := validatedFile[S]{File: file}
	text, err := p.readFile(file, k.maxSigned())
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	inside, s, err := trusted.open(k.of, text)
	if err != nil {
		f.Problems = []problem{{Text: err.Error()}}
		return f
	}
	f.Signature = &s
	if f.Summary, err = summarize(inside); err != nil {
		f.Problems, f.More = problemsOf(err)
		return f
	}
	f.Valid = true
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

func (v validated[S]) write(p *program, w io.Writer) {
	for i, f := range v.Files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if f.Valid {
			f.Summary.write(w, printable(f.File)+": can be used", f.Signature.lines(p)...)
			continue
		}
		where := ""
		if f.Signature != nil && f.Signature.State != unsigned {
			where = " in the policy that was signed, whose lines are counted"
		}
		fmt.Fprintf(w, "%s: %s%s\n", printable(f.File), counted(len(f.Problems)+f.More, "problem", "problems"), where)
		for _, each := range f.Problems {
			fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(printableLines(each.String()), "\n", "\n    "))
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
