package tenant

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// deletedPolicy is the JSON of "policy delete".
type deletedPolicy struct {
	Name string `json:"name"`
}

func (p *program) policyDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a policy that no machine is judged under",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			if err := s.verifier.DeletePolicy(c.Context(), args[0]); err != nil {
				return err
			}
			return p.show(deletedPolicy{args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", args[0]) })
		},
	}
}
