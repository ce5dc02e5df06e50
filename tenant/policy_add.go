package tenant

import "github.com/spf13/cobra"

func (p *program) policyAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME FILE",
		Short: "Give the verifier a policy; FILE - is standard input",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			text, err := p.readPolicy(args[1])
			if err != nil {
				return err
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			stored, err := s.verifier.AddPolicy(c.Context(), args[0], text)
			if err != nil {
				return err
			}
			return p.showPolicy("added", stored)
		},
	}
}
