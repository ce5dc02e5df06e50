package tenant

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/wire/rest"
)

func (p *program) agentClear() *cobra.Command {
	var consent confirmation
	c := p.onAgent(&cobra.Command{
		Use:   "clear AGENT",
		Short: "Record that you looked into a machine's failures",
		Long: `Record that you looked into a machine's failures. They no longer count against it;
what is found from now on does. They are shown, and you are asked, first.`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error { return p.clear(ctx, s, id, consent) })
	consent.flag(c)
	return c
}

func (p *program) clear(ctx context.Context, s servers, id string, consent confirmation) error {
	before, err := s.enrolled(ctx, id)
	if err != nil {
		return err
	}
	if !consent.yes && !p.json {
		writeFailures(p.stderr, before)
	}
	if err := consent.ask(p, fmt.Sprintf("clearing %s of %s", counted(before.FailureCount, "failure", "failures"), short(id))); err != nil {
		return err
	}
	a, err := s.verifier.Clear(ctx, before)
	if err != nil {
		return err
	}
	return p.show(a, func(w io.Writer) {
		fmt.Fprintf(w, "cleared %s of %s  %s: %s\n",
			counted(clearedOf(a)-clearedOf(before), "failure", "failures"), short(a.ID), printable(a.Label), printable(stateWords(a)))
	})
}

// clearedOf is how many failures were ever cleared: what ties a list to its boot
// never is.
func clearedOf(a rest.Agent) int {
	if a.Cleared == nil {
		return 0
	}
	return a.Cleared.Count
}
