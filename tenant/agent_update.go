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
		policy, bootPolicy, tpmPolicy, label string
		noPolicy, noBoot, noTPM              bool
	)
	c := p.onAgent(&cobra.Command{
		Use:   "update AGENT",
		Short: "Give a machine other policies or another label",
		Long: `Give a machine other policies or another label. Under another policy everything that
the machine measured since it booted is judged again; under another boot policy, the log
of its boot.`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error {
		u := rest.AgentUpdate{}
		if policy != "" || noPolicy {
			u.Policy = &policy
		}
		if bootPolicy != "" || noBoot {
			u.BootPolicy = &bootPolicy
		}
		if tpmPolicy != "" || noTPM {
			u.TPMPolicy = new(rest.Text)
		}
		if tpmPolicy != "" {
			var err error
			if *u.TPMPolicy, err = p.tpmPolicy(tpmPolicy); err != nil {
				return err
			}
		}
		if label != "" {
			u.Label = &label
		}
		return p.update(ctx, s, id, u)
	})
	c.Flags().StringVar(&policy, "policy", "", "judge it under the runtime policy `NAME`")
	c.Flags().BoolVar(&noPolicy, "no-policy", false, "judge it under no runtime policy: not evaluated")
	c.Flags().StringVar(&bootPolicy, "boot-policy", "", "judge its boot under the boot policy `NAME`")
	c.Flags().BoolVar(&noBoot, "no-boot-policy", false, "judge its boot under no boot policy: not evaluated")
	c.Flags().StringVar(&tpmPolicy, "tpm-policy", "", helpTPMPolicy)
	c.Flags().BoolVar(&noTPM, "no-tpm-policy", false, "compare no single PCRs: not evaluated")
	c.Flags().StringVar(&label, "label", "", "call it `LABEL`")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		switch {
		case policy != "" && noPolicy:
			return usage(c, "--policy and --no-policy contradict each other")
		case bootPolicy != "" && noBoot:
			return usage(c, "--boot-policy and --no-boot-policy contradict each other")
		case tpmPolicy != "" && noTPM:
			return usage(c, "--tpm-policy and --no-tpm-policy contradict each other")
		case policy+bootPolicy+tpmPolicy+label == "" && !noPolicy && !noBoot && !noTPM:
			return usage(c, "nothing to change: name a policy, such as --policy or --no-boot-policy, or --label")
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
		fmt.Fprintf(w, "updated %s  %s: runtime policy %s, boot policy %s, TPM policy %s, %s\n", short(a.ID), printable(a.Label),
			printable(a.Policies.Runtime), printable(a.Policies.Boot), printable(tpmPolicyName(a.Policies)), printable(stateWords(a)))
	})
}
