package tenant

import (
	"github.com/spf13/cobra"

	"quicklime/tenant/client"
)

func (s storedPolicies[T, P]) update() *cobra.Command {
	return &cobra.Command{
		Use:   "update NAME FILE",
		Short: "Replace a " + s.word + "; every machine under it is judged again",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := s.upload(c, args[0], args[1], client.Policies[T].Update)
			if err != nil {
				return err
			}
			s.p.say("%s judged again", counted(s.common(&stored).Agents, "agent is", "agents are"))
			return s.answer("updated", stored)
		},
	}
}
