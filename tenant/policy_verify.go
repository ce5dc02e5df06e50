package tenant

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy/dsse"
)

func (p *program) policyVerify(k policyKind) *cobra.Command {
	var t trust
	var out string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say who signed a " + k.word + ", or that nobody did who is trusted; FILE - is standard input",
		Long: "Say who signed a " + k.word + `, or that nobody did who is trusted: whose key or CA --key
and --ca name. What the signed policy itself carries is never enough.

  ` + k.command("verify web.signed.json --key release.pub") + `
  ` + k.command("show web --signed") + " | " + k.command("verify - --ca ca.crt --at 2026-11-27") + `

Exit codes: 0 it is signed, 1 it is not, 2 usage.`,
		Args: exactly(1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			trusted, err := p.checker(c, t)
			if err != nil {
				return err
			}
			if trusted == nil {
				return usage(c, "name who is trusted: --key or --ca")
			}
			return p.verify(k, trusted, args[0], out)
		},
	}
	t.flags(c)
	c.Flags().StringVarP(&out, "output", "o", "", "write the policy without its signatures to `FILE`")
	return c
}

func (p *program) verify(k policyKind, trusted *checker, file, out string) error {
	text, err := p.readFile(file, k.maxSigned())
	if err != nil {
		return err
	}
	e, err := dsse.Parse(k.of, text)
	if err != nil {
		return k.malformed(file, text, err)
	}
	v, err := trusted.keys.Verify(e, trusted.when)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if out != "" {
		if err := os.WriteFile(out, v.Payload(), 0o644); err != nil {
			return err
		}
		p.say("wrote %s", out)
	}
	s := newSigned(file, v.Payload(), v.Signers()...)
	return p.show(s, func(w io.Writer) {
		for _, by := range v.Signers() {
			fmt.Fprintf(w, "signed by %s\n", printable(by.String()))
		}
		fmt.Fprintf(w, "%s sha256:%s\n", k.word, s.Digest)
	})
}
