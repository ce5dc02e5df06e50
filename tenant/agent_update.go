package tenant

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/wire"
	"quicklime/wire/rest"
)

func (p *program) agentUpdate() *cobra.Command {
	var (
		policy, label string
		noPolicy      bool
	)
	c := p.onAgent(&cobra.Command{
		Use:   "update AGENT",
		Short: "Give a machine another policy or label",
		Long: `Give a machine another policy or label. Under another policy everything that the
machine measured since it booted is judged again.`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error {
		u := rest.AgentUpdate{}
		if policy != "" || noPolicy {
			u.Policy = &policy
		}
		if label != "" {
			u.Label = &label
		}
		return p.update(ctx, s, id, u)
	})
	c.Flags().StringVar(&policy, "policy", "", "judge it under the runtime policy `NAME`")
	c.Flags().BoolVar(&noPolicy, "no-policy", false, "judge it under no runtime policy: not evaluated")
	c.Flags().StringVar(&label, "label", "", "call it `LABEL`")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		switch {
		case policy != "" && noPolicy:
			return usage(c, "--policy and --no-policy contradict each other")
		case policy == "" && !noPolicy && label == "":
			return usage(c, "nothing to change: name --policy, --no-policy or --label")
		}
		return nil
	}
	return c
}

func (p *program) update(ctx context.Context, s servers, id string, u rest.AgentUpdate) error {
	if _, err := s.enrolled(ctx, id); err != nil { // else "not found" could be of the policy
		return err
	}
	a, err := s.verifier.Update(ctx, id, u)
	if err != nil {
		return err
	}
	if a.Policies.Runtime == wire.NotEvaluated {
		p.warn("runtime policy: %s; no file of this machine is judged", wire.NotEvaluated)
	}
	return p.show(a, func(w io.Writer) {
		fmt.Fprintf(w, "updated %s  %s: runtime policy %s, %s\n",
			short(a.ID), printable(a.Label), printable(a.Policies.Runtime), printable(stateWords(a)))
	})
}
