package tenant

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// withdrawal is the JSON of "payload delete".
type withdrawal struct {
	Agent string `json:"agent"`
	Name  string `json:"name"`
	State string `json:"state"` // one of the words of payloadStates
}

func (p *program) payloadDelete() *cobra.Command {
	var consent confirmation
	var wait bool
	var timeout time.Duration
	c := p.onPayload(&cobra.Command{
		Use:   "delete AGENT NAME",
		Short: "Withdraw a payload: the machine wipes it",
		Long: `Withdraw a payload. The verifier forgets it, and the machine wipes it: at once if it
is connected, else when it next is. --wait and "payload status" show that it did. A
machine that is compromised may keep what it has.

Exit codes: 0 done, 1 failed, 2 usage; 3 with --wait, the machine did not say in time
that it wiped it.`,
	}, func(ctx context.Context, s servers, id, name string) error {
		if err := consent.ask(p, "withdrawing payload "+name+" from agent "+short(id)); err != nil {
			return err
		}
		if err := s.verifier.DeletePayload(ctx, id, name); err != nil {
			return err
		}
		if !wait {
			timeout = 0
		}
		return p.showWithdrawn(ctx, s, id, name, timeout)
	})
	consent.flag(c)
	c.Flags().BoolVar(&wait, "wait", false, "wait until the machine says that it wiped it")
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long --wait waits")
	return c
}

// showWithdrawn says how far a payload that the verifier has withdrawn is gone, after
// patience if the machine still has it then.
func (p *program) showWithdrawn(ctx context.Context, s servers, id, payload string, patience time.Duration) error {
	one, err := s.verifier.Payload(ctx, id, payload)
	if err != nil {
		return fmt.Errorf("%s is withdrawn, and what became of it is not known: %w", payload, err)
	}
	v, err := s.config.viewPayload(id, one, p.now())
	if err == nil && patience > 0 {
		v, err = p.awaitPayload(ctx, s, id, one, patience, payloadGone)
	}
	if err != nil {
		return err
	}
	if err := p.show(withdrawal{id, payload, v.State}, func(w io.Writer) {
		fmt.Fprintf(w, "withdrew %s from %s: %s\n", payload, short(id), v.withdrawnWords())
	}); err != nil || patience == 0 || v.gone() {
		return err
	}
	return errOtherState
}

// gone reports whether the machine never had it, or says itself that it does not have
// it any more.
func (v payloadView) gone() bool {
	return v.State == payloadWithdrawn && (v.Checked || v.Releases == 0)
}

// withdrawnWords is what a machine has of a payload that was withdrawn.
func (v payloadView) withdrawnWords() string {
	switch {
	case v.gone() && v.Releases == 0:
		return "the machine never had it"
	case v.gone():
		return "the machine has wiped it"
	case v.State == payloadWithdraw:
		return "the machine wipes it once it is connected, and has not said yet that it did"
	}
	return v.words()
}
