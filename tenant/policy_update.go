package tenant

import "github.com/spf13/cobra"

func (p *program) policyUpdate() *cobra.Command {
	return &cobra.Command{
		Use:   "update NAME FILE",
		Short: "Replace a policy; every machine under it is judged again",
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
			stored, err := s.verifier.UpdatePolicy(c.Context(), args[0], text)
			if err != nil {
				return err
			}
			p.say("%s judged again", counted(stored.Agents, "agent is", "agents are"))
			return p.showPolicy("updated", stored)
		},
	}
}
