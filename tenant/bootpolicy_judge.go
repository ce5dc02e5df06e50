package tenant

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/bootpolicy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// testedBoot is the JSON of "boot-policy test".
type testedBoot struct {
	Policy   string         `json:"policy"` // SHA-256 of its text
	Verdict  string         `json:"verdict"`
	Note     string         `json:"note"`
	Bank     pcr.Bank       `json:"bank"` // that the log was read in
	Events   int            `json:"events"`
	Failures []wire.Failure `json:"failures"`

	Signature signature `json:"signature"`
}

func (p *program) bootPolicyTest() *cobra.Command {
	bank, systemd := "", ""
	var t trust
	c := &cobra.Command{
		Use:   "test POLICY LOG",
		Short: "Show what in a boot log a boot policy would fail",
		Long: `Show what in a boot log a boot policy would fail, without asking any machine. LOG is
` + bootLogHint + `;
"-" is standard input.

` + helpBootPolicy + `

` + helpTrust + `

It is no verdict: without a quote the log may be anybody's.

Exit codes: 0 nothing would fail, 1 it could not be found out, 2 usage, 3 something
would fail.`,
		Args: exactly(2, "POLICY and LOG"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usage(c, "only one of policy and log can come from standard input")
			}
			k, err := p.checker(c, t)
			if err != nil {
				return err
			}
			judged, err := p.bootPolicyAt(c.Context(), args[0], k)
			if err != nil {
				return err
			}
			return p.testBoot(judged, args[1], systemd, bank)
		},
	}
	t.flags(c)
	c.Flags().StringVar(&bank, "bank", "", "read the log in this `BANK`: sha1, sha256, sha384 or sha512 (default: sha256 if the log has it, else its strongest)")
	c.Flags().StringVar(&systemd, "systemd-log", "", "`FILE` is "+systemdLogHint+", of the same boot")
	return c
}

func (p *program) testBoot(judged opened[*bootpolicy.Policy], file, systemd, bank string) error {
	_, s, err := p.bootLog(file, systemd, bank)
	if err != nil {
		return err
	}
	t := testedBoot{judged.policy.Digest(), "none", noQuote, s.Bank(), len(s.Events()), []wire.Failure{}, judged.signature}
	t.Failures = append(t.Failures, judged.policy.JudgeSupposed(s)...)
	p.warn("%s", noQuote)
	if err := p.show(t, func(w io.Writer) { p.writeTestedBoot(w, t) }); err != nil {
		return err
	}
	if len(t.Failures) > 0 {
		return errOtherState
	}
	return nil
}

func (p *program) writeTestedBoot(w io.Writer, t testedBoot) {
	p.writeSignature(w, "signature of the policy", t.Signature)
	fmt.Fprintf(w, "%s in bank %v: %s\n", counted(t.Events, "event", "events"), t.Bank, counted(len(t.Failures), "failure", "failures"))
	for _, f := range t.Failures {
		fmt.Fprintf(w, "\n%s\n  %s\n", f.ID, printable(f.Message))
		if f.Got != "" {
			fmt.Fprintf(w, "  seen      %s\n", printable(f.Got))
		}
		for _, e := range f.Expected {
			fmt.Fprintf(w, "  expected  %s\n", printable(e))
		}
		if f.Hint != "" {
			fmt.Fprintf(w, "  hint      %s\n", printable(f.Hint))
		}
	}
}
