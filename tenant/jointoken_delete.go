package tenant

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/wire"
)

// deletedToken is the JSON of "join-token delete".
type deletedToken struct {
	ID string `json:"id"`
}

func (p *program) joinTokenDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Make a token worthless that nobody has used",
		Long: `Make a token worthless that nobody has used. A used token is kept: it is the record
of what bound a machine's TPM to the machine.`,
		Args: exactly(1, "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if !wire.ValidTokenID(args[0]) {
				return usage(c, "%q is not a token's id: 16 lower-case hexadecimal digits, as \"join-token list\" shows them", args[0])
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			if err := s.registrar.DeleteJoinToken(c.Context(), args[0]); err != nil {
				return err
			}
			return p.show(deletedToken{args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted join token %s\n", args[0]) })
		},
	}
}
