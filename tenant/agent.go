package tenant

import (
	"context"

	"github.com/spf13/cobra"
)

// agent is the noun of machines.
func (p *program) agent() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "agent",
		Short: "Machines: enrol them, see how they fare",
	}, p.agentList(), p.agentAdd(), p.agentStatus(), p.agentUpdate(), p.agentDelete(), p.agentRebind(), p.agentClear(), p.agentBootLog())
}

// onAgent makes c a command about the one agent that its argument names. What it
// needs may depend on c's flags.
func (p *program) onAgent(c *cobra.Command, needs *reach, run func(ctx context.Context, s servers, id string) error) *cobra.Command {
	if c.Long == "" {
		c.Long = c.Short + "."
	}
	c.Long += "\n\n" + helpAgent
	c.Args = exactly(1, "one AGENT")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := p.connect()
		if err != nil {
			return err
		}
		id, err := s.resolve(c.Context(), args[0], *needs)
		if err != nil {
			return err
		}
		return run(c.Context(), s, id)
	}
	return c
}
