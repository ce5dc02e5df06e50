package tenant

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// withdrawal is the JSON of "payload delete".
type withdrawal struct {
	Agent string `json:"agent"`
	Name  string `json:"name"`
}

func (p *program) payloadDelete() *cobra.Command {
	var consent confirmation
	c := p.onPayload(&cobra.Command{
		Use:   "delete AGENT NAME",
		Short: "Withdraw a payload: the machine wipes it",
		Long: `Withdraw a payload. The verifier forgets it, and the machine wipes it: at once if it
is trusted and connected, else when it next is. "payload status" shows that it did. A
machine that is not trusted may keep what it has.`,
	}, func(ctx context.Context, s servers, id, name string) error {
		if err := consent.ask(p, "withdrawing payload "+name+" from agent "+short(id)); err != nil {
			return err
		}
		if err := s.verifier.DeletePayload(ctx, id, name); err != nil {
			return err
		}
		return p.show(withdrawal{id, name}, func(w io.Writer) { fmt.Fprintf(w, "withdrew %s from %s\n", name, short(id)) })
	})
	consent.flag(c)
	return c
}
