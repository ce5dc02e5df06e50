package tenant

import "github.com/spf13/cobra"

// bootPolicy is the noun of measured boot.
func (p *program) bootPolicy() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "boot-policy",
		Short: "Boot logs: what firmware, boot loader and kernel measured",
	}, p.bootPolicyExplain())
}
