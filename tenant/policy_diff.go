package tenant

import (
	"fmt"
	"io"
	"math"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy"
)

// shownChanges is how many changes of a kind are shown: a screen holds some kinds.
const shownChanges = 10

// compared is the JSON of "policy diff".
type compared struct {
	Before comparedPolicy       `json:"before"`
	After  comparedPolicy       `json:"after"`
	Groups []policy.ChangeGroup `json:"groups"` // of each the first changes, all of them with --all
}

type comparedPolicy struct {
	Policy string `json:"policy"` // as it was named
	Digest string `json:"digest"`
	Paths  int    `json:"paths"`
	Empty  bool   `json:"empty"` // nothing would be evaluated

	Signature signature `json:"signature"`
}

func newCompared(name string, o opened[*policy.Policy]) comparedPolicy {
	return comparedPolicy{name, o.policy.Digest(), o.policy.Paths(), o.policy.Empty(), o.signature}
}

func (p *program) policyDiff() *cobra.Command {
	limit := shownChanges
	all := false
	var t trust
	c := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Show what would change for machines if one policy took another's place",
		Long: `Show what would change for machines if the policy AFTER took the place of BEFORE:
what is allowed and was not (+), what was allowed and is not (-), and both (~).

` + helpPolicy + `

` + helpTrust + `

  quicklime-tenant policy diff web web-new.json
  quicklime-tenant policy diff @web web.signed.json --key release.pub

A file counts as allowed if a digest is listed or an exclusion matches, and nothing
denies it; what a signature would vouch for is not known here. Of each kind the first ` + fmt.Sprint(shownChanges) + `
changes are shown, in --json, too; the counts are of all.

Exit codes: 0 nothing would change, 1 it could not be found out, 2 usage, 3 something
would change.`,
		Args: exactly(2, "BEFORE and AFTER"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usage(c, "only one of the policies can come from standard input")
			}
			k, err := p.checker(c, t)
			if err != nil {
				return err
			}
			before, err := p.runtimePolicies().open(c.Context(), args[0], k)
			if err != nil {
				return err
			}
			after, err := p.runtimePolicies().open(c.Context(), args[1], k)
			if err != nil {
				return err
			}
			if all {
				limit = math.MaxInt
			}
			return p.diff(args, before, after, limit)
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&all, "all", false, "show every change")
	return c
}

func (p *program) diff(names []string, before, after opened[*policy.Policy], limit int) error {
	d := compared{
		Before: newCompared(names[0], before),
		After:  newCompared(names[1], after),
		Groups: policy.Compare(before.policy, after.policy, limit),
	}
	if err := p.show(d, func(w io.Writer) { p.writeDiff(w, d) }); err != nil {
		return err
	}
	if d.After.Empty && !d.Before.Empty {
		p.warn("%s says nothing: under it nothing would be evaluated", names[1])
	}
	if len(d.Groups) > 0 {
		return errOtherState
	}
	return nil
}

func (p *program) writeDiff(w io.Writer, d compared) {
	p.writeSignatures(w, d)
	if len(d.Groups) == 0 {
		fmt.Fprintln(w, "nothing would change for a machine")
		return
	}
	t := &table{heading: []string{"", "CHANGE", "COUNT", "EFFECT"}}
	for _, g := range d.Groups {
		t.add(cell{sign(g.Effect), effectColour(g.Effect)}, cell{text: g.Kind}, cell{text: fmt.Sprint(g.Count)}, cell{string(g.Effect), effectColour(g.Effect)})
	}
	t.write(w, p.coloured(w))
	for _, g := range d.Groups {
		fmt.Fprintf(w, "\n%s: %d\n", g.Kind, g.Count)
		for _, c := range g.Changes {
			p.writeChange(w, c)
		}
		if more := g.Count - len(g.Changes); more > 0 {
			fmt.Fprintf(w, "    and %d more; --all shows them\n", more)
		}
	}
}

// writeSignatures says of each policy what is known of its signature, if one of them
// has any.
func (p *program) writeSignatures(w io.Writer, d compared) {
	if d.Before.Signature.State == unsigned && d.After.Signature.State == unsigned {
		return
	}
	for _, c := range []comparedPolicy{d.Before, d.After} {
		for _, line := range c.Signature.lines(p) {
			fmt.Fprintf(w, "%s: signature: %s\n", printable(c.Policy), printable(line))
		}
	}
	fmt.Fprintln(w)
}

// writeChange writes a change in a line, and below it what is added and removed
// unless the name says it.
func (p *program) writeChange(w io.Writer, c policy.Change) {
	fmt.Fprintf(w, "  %s %s\n", paint(cell{sign(c.Effect), effectColour(c.Effect)}, p.coloured(w)), printable(c.Name))
	for _, part := range []struct {
		sign   string
		values []string
	}{{"+", c.Added}, {"-", c.Removed}} {
		for _, v := range part.values {
			if v != c.Name {
				fmt.Fprintf(w, "      %s %s\n", part.sign, printable(v))
			}
		}
	}
}

// sign is the sign of an effect: + allows more.
func sign(e policy.Effect) string {
	switch e {
	case policy.Looser:
		return "+"
	case policy.Tighter:
		return "-"
	}
	return "~"
}

// effectColour warns of what allows more.
func effectColour(e policy.Effect) colour {
	switch e {
	case policy.Looser:
		return yellow
	case policy.Tighter:
		return green
	}
	return 0
}
