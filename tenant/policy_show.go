package tenant

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (s storedPolicies[T, P]) show() *cobra.Command {
	signed := false
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print a " + s.word + "'s text, to the byte unless that is a terminal",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			if signed {
				return s.showSigned(c.Context(), args[0])
			}
			r, err := s.get(c.Context(), args[0])
			if err != nil {
				return err
			}
			if p := s.common(&r); !s.p.json {
				for _, by := range p.SignedBy {
					s.p.say("signed by %s; verified %s", signer(by), s.p.moment(p.UpdatedAt))
				}
			}
			return s.p.show(r, func(w io.Writer) { writeText(w, []byte(s.common(&r).Text)) })
		},
	}
	c.Flags().BoolVar(&signed, "signed", false, "print the signed policy as it came, for \""+s.noun+" verify\"")
	return c
}

func (s storedPolicies[T, P]) showSigned(ctx context.Context, name string) error {
	r, err := s.getSigned(ctx, name)
	if err != nil {
		return err
	}
	return s.p.show(r, func(w io.Writer) { writeText(w, []byte(s.common(&r).Envelope)) })
}

// writeText writes a policy's text with a line break at its end.
func writeText(w io.Writer, text []byte) {
	if isTerminal(w) {
		text = printableJSON(text)
	}
	w.Write(text)
	if !bytes.HasSuffix(text, []byte("\n")) {
		fmt.Fprintln(w)
	}
}
