package tenant

import (
	"fmt"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (p *program) joinTokenList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List join tokens, without their secrets, and what became of them",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			l, err := s.registrar.JoinTokens(c.Context())
			if err != nil {
				return err
			}
			l.Tokens = orEmpty(l.Tokens)
			if l.Unreadable > 0 {
				p.warn("%s left out, of which the records cannot be read; the registrar's log names them",
					counted(l.Unreadable, "join token is", "join tokens are"))
			}
			t := &table{heading: []string{"ID", "LABEL", "CREATED", "STATE", "AGENT"}}
			for _, token := range l.Tokens {
				t.add(plain(token.ID, token.Label, p.ago(token.CreatedAt), p.tokenState(token), short(token.UsedBy))...)
			}
			return p.showTable(l, t, fmt.Sprintf("there is no join token; %q makes one", name+" join-token create"))
		},
	}
}

// tokenState is what a token is good for now.
func (p *program) tokenState(t rest.JoinToken) string {
	switch {
	case t.UsedAt != nil:
		return "used " + p.ago(*t.UsedAt)
	case t.UsedBy != "":
		return "used"
	case !p.now().Before(t.ExpiresAt):
		return "expired " + p.ago(t.ExpiresAt)
	}
	return "until " + t.ExpiresAt.UTC().Format("2006-01-02 15:04 MST")
}
