package tenant

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/bootpolicy"
)

// comparedBoot is the JSON of "boot-policy diff".
type comparedBoot struct {
	Before  string            `json:"before"`  // SHA-256 of the text
	After   string            `json:"after"`   // SHA-256 of the text
	Added   []bootpolicy.Rule `json:"added"`   // that after alone has
	Removed []bootpolicy.Rule `json:"removed"` // that before alone has

	BeforeSignature signature `json:"before_signature"`
	AfterSignature  signature `json:"after_signature"`
}

func (p *program) bootPolicyDiff() *cobra.Command {
	var t trust
	c := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Show what one boot policy says and another does not",
		Long: `Show what the boot policy AFTER says and BEFORE does not (+), and the reverse (-). What
differs in the order or the writing of the text alone is not shown.

` + helpBootPolicy + `

` + helpTrust + `

Exit codes: 0 nothing differs, 1 it could not be found out, 2 usage, 3 something
differs.`,
		Args: exactly(2, "BEFORE and AFTER"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usage(c, "only one of the policies can come from standard input")
			}
			k, err := p.checker(c, t)
			if err != nil {
				return err
			}
			before, err := p.bootPolicyAt(c.Context(), args[0], k)
			if err != nil {
				return err
			}
			after, err := p.bootPolicyAt(c.Context(), args[1], k)
			if err != nil {
				return err
			}
			return p.diffBoot(before, after)
		},
	}
	t.flags(c)
	return c
}

func (p *program) diffBoot(before, after opened[*bootpolicy.Policy]) error {
	d := comparedBoot{before.policy.Digest(), after.policy.Digest(), []bootpolicy.Rule{}, []bootpolicy.Rule{}, before.signature, after.signature}
	added, removed := bootpolicy.Diff(before.policy, after.policy)
	d.Added, d.Removed = append(d.Added, added...), append(d.Removed, removed...)
	if err := p.show(d, func(w io.Writer) { p.writeComparedBoot(w, d) }); err != nil {
		return err
	}
	if len(d.Added)+len(d.Removed) > 0 {
		return errOtherState
	}
	return nil
}

func (p *program) writeComparedBoot(w io.Writer, d comparedBoot) {
	p.writeSignature(w, "signature of the policy before", d.BeforeSignature)
	p.writeSignature(w, "signature of the policy after", d.AfterSignature)
	for _, r := range d.Removed {
		fmt.Fprintf(w, "- %s: %s\n", r.Member, printable(r.Value))
	}
	for _, r := range d.Added {
		fmt.Fprintf(w, "+ %s: %s\n", r.Member, printable(r.Value))
	}
	if len(d.Added)+len(d.Removed) == 0 {
		fmt.Fprintln(w, "nothing differs")
	}
}
