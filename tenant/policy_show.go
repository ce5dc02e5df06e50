package tenant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (p *program) policyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print a policy's text, to the byte unless that is a terminal",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			r, err := s.verifier.Policy(c.Context(), args[0])
			if err != nil {
				return err
			}
			if sum := sha256.Sum256([]byte(r.Text)); hex.EncodeToString(sum[:]) != r.Digest {
				return fmt.Errorf("the text that came does not have the digest of policy %s, sha256:%s", args[0], r.Digest)
			}
			return p.show(r, func(w io.Writer) { writeText(w, []byte(r.Text)) })
		},
	}
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
