package tenant

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (p *program) policyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the verifier's policies",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			l, err := s.verifier.Policies(c.Context())
			if err != nil {
				return err
			}
			l.Policies = orEmpty(l.Policies)
			t := &table{heading: []string{"NAME", "PATHS", "EXCLUSIONS", "AGENTS", "UPDATED", "SIGNED BY", "SHA-256"}}
			for _, r := range l.Policies {
				t.add(plain(r.Name, fmt.Sprint(r.Paths), fmt.Sprint(r.Excludes), fmt.Sprint(r.Agents), p.ago(r.UpdatedAt), signers(r.SignedBy), short(r.Digest))...)
			}
			return p.showTable(l, t, fmt.Sprintf("the verifier has no policy yet; %q makes one, and %q brings it there", name+" policy create", name+" policy add"))
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
