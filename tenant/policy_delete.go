package tenant

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// deletedPolicy is the JSON of "policy delete" and "boot-policy delete".
type deletedPolicy struct {
	Name string `json:"name"`
}

func (s storedPolicies[T, P]) delete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a " + s.word + " that no machine is judged under",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			all, err := s.policies()
			if err != nil {
				return err
			}
			if err := all.Delete(c.Context(), args[0]); err != nil {
				return err
			}
			return s.p.show(deletedPolicy{args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", args[0]) })
		},
	}
}
