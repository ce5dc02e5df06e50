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
}

func (p *program) bootPolicyDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Show what one boot policy says and another does not",
		Long: `Show what the boot policy AFTER says and BEFORE does not (+), and the reverse (-). What
differs in the order or the writing of the text alone is not shown.

` + helpBootPolicy + `

Exit codes: 0 nothing differs, 1 it could not be found out, 2 usage, 3 something
differs.`,
		Args: exactly(2, "BEFORE and AFTER"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usage(c, "only one of the policies can come from standard input")
			}
			return p.diffBoot(args[0], args[1])
		},
	}
}

func (p *program) diffBoot(before, after string) error {
	a, err := p.bootPolicyAt(before)
	if err != nil {
		return err
	}
	b, err := p.bootPolicyAt(after)
	if err != nil {
		return err
	}
	d := comparedBoot{a.Digest(), b.Digest(), []bootpolicy.Rule{}, []bootpolicy.Rule{}}
	added, removed := bootpolicy.Diff(a, b)
	d.Added, d.Removed = append(d.Added, added...), append(d.Removed, removed...)
	if err := p.show(d, d.write); err != nil {
		return err
	}
	if len(d.Added)+len(d.Removed) > 0 {
		return errOtherState
	}
	return nil
}

func (d comparedBoot) write(w io.Writer) {
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
