package tenant

import "github.com/spf13/cobra"

// joinToken is the noun of join tokens.
func (p *program) joinToken() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "join-token",
		Short: "Join tokens: bring a machine in",
		Long: `A join token lets one machine register, once. It is a secret: hand it over in a
file or through a pipe, never on a command line.

  quicklime-tenant join-token create --label web-1 | ssh web-1 quicklime-agent join`,
	}, p.joinTokenCreate(), p.joinTokenList(), p.joinTokenDelete())
}
