package tenant

import (
	"context"

	"github.com/spf13/cobra"

	"quicklime/wire"
)

// payload is the noun of payloads.
func (p *program) payload() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "payload",
		Short: "Payloads: send secrets that only one trusted machine can open",
		Long: `A payload is a file, or a directory of files, that only one machine's TPM can open,
and only after the verifier has found the machine trusted. The verifier carries it and
cannot read it.

  quicklime-tenant payload key init          once, before machines join
  quicklime-tenant payload send web-1 FILE   the machine has it in memory then, under
                                             /run/quicklime-agent/payloads`,
	}, p.payloadKeyNoun(), p.payloadSend(), p.payloadList(), p.payloadStatus(), p.payloadDelete())
}

// onPayload makes c a command about one payload of one agent.
func (p *program) onPayload(c *cobra.Command, run func(ctx context.Context, s servers, id, payload string) error) *cobra.Command {
	c.Long += "\n\n" + helpAgent
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usage(c, "%s takes AGENT and NAME", c.CommandPath())
		}
		if !wire.ValidName(args[1]) {
			return usage(c, "%q cannot name a payload: 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit", args[1])
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := p.connect()
		if err != nil {
			return err
		}
		id, err := s.resolve(c.Context(), args[0], reach{verifier: true})
		if err != nil {
			return err
		}
		return run(c.Context(), s, id, args[1])
	}
	return c
}
