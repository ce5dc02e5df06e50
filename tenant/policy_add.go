package tenant

import (
	"github.com/spf13/cobra"

	"quicklime/tenant/client"
)

func (p *program) policyAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME FILE",
		Short: "Give the verifier a policy; FILE - is standard input",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := p.upload(c, args[0], args[1], (*client.Verifier).AddPolicy)
			if err != nil {
				return err
			}
			return p.showPolicy("added", stored)
		},
	}
}
