package tenant

import (
	"github.com/spf13/cobra"

	"quicklime/tenant/client"
)

func (s storedPolicies[T, P]) add() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME FILE",
		Short: "Give the verifier a " + s.word + "; FILE - is standard input",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := s.upload(c, args[0], args[1], client.Policies[T].Add)
			if err != nil {
				return err
			}
			return s.answer("added", stored)
		},
	}
}
