package tenant

import (
	"github.com/spf13/cobra"

	"quicklime/tenant/client"
)

func (p *program) policyUpdate() *cobra.Command {
	return &cobra.Command{
		Use:   "update NAME FILE",
		Short: "Replace a policy; every machine under it is judged again",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := p.upload(c, args[0], args[1], (*client.Verifier).UpdatePolicy)
			if err != nil {
				return err
			}
			p.say("%s judged again", counted(stored.Agents, "agent is", "agents are"))
			return p.showPolicy("updated", stored)
		},
	}
}
