package tenant

import "github.com/spf13/cobra"

// bootPolicy is the noun of measured boot.
func (p *program) bootPolicy() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "boot-policy",
		Short: "Boot logs, and the reference states that boots are judged by",
	}, p.bootPolicyExplain(), p.bootPolicyCreate(), p.bootPolicyValidate(), p.bootPolicyTest(), p.bootPolicyDiff(),
		p.bootPolicyAdd(), p.bootPolicyList(), p.bootPolicyShow(), p.bootPolicyUpdate(), p.bootPolicyDelete())
}
