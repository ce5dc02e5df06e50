package tenant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (s storedPolicies[T, P]) list() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the verifier's " + s.many,
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := s.policies()
			if err != nil {
				return err
			}
			l, err := all.List(c.Context())
			if err != nil {
				return err
			}
			l.Policies = orEmpty(l.Policies)
			t := &table{heading: slices.Concat([]string{"NAME"}, s.heading, []string{"AGENTS", "UPDATED", "SIGNED BY", "SHA-256"})}
			for _, one := range l.Policies {
				r := s.common(&one)
				t.add(plain(slices.Concat([]string{r.Name}, s.row(one), []string{fmt.Sprint(r.Agents), s.p.ago(r.UpdatedAt), signers(r.SignedBy), short(r.Digest)})...)...)
			}
			return s.p.showTable(l, t, fmt.Sprintf("the verifier has no %s yet; %q makes one, and %q brings it there", s.word, s.command("create"), s.command("add")))
		},
	}
}

// signers names all who signed a policy, briefly.
func signers(all []rest.Signer) string {
	if len(all) == 0 {
		return "-"
	}
	names := make([]string, len(all))
	for i, s := range all {
		if names[i] = s.Subject; s.Subject == "" {
			names[i] = "key " + short(s.KeyID)
		}
	}
	return strings.Join(names, "; ")
}
