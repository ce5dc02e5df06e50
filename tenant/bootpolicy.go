package tenant

import "github.com/spf13/cobra"

// bootPolicy is the noun of measured boot.
func (p *program) bootPolicy() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "boot-policy",
		Short: "Boot logs, and the reference states that boots are judged by",
	}, append(p.bootPolicies().commands(),
		p.bootPolicyExplain(), p.bootPolicyCreate(), p.policySign(bootKind), p.policyVerify(bootKind), policyValidate(p, bootKind, bootSummaryOf), p.bootPolicyTest(), p.bootPolicyDiff())...)
}
