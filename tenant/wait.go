package tenant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// A waiting is what --wait and --timeout ask for.
type waiting struct {
	state   string
	timeout time.Duration
}

// flags adds --wait and --timeout to c.
func (w *waiting) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.state, "wait", "", "wait until the agent is in `STATE`: pending, trusted, untrusted, stale or 'not evaluated'")
	c.Flags().DurationVar(&w.timeout, "timeout", 30*time.Second, "how long --wait waits: `TIME` such as 90s or 5m")
}

// check refuses a state that no agent is ever in.
func (w *waiting) check(c *cobra.Command) error {
	states := []wire.Trust{wire.Pending, wire.Trusted, wire.Untrusted, wire.Stale, wire.Unjudged}
	if w.state != "" && !slices.Contains(states, wire.Trust(w.state)) {
		return usage(c, "--wait %q is none of pending, trusted, untrusted, stale, 'not evaluated'", w.state)
	}
	if w.timeout <= 0 {
		return usage(c, "--timeout %v is no time to wait", w.timeout)
	}
	return nil
}

// await returns the agent once it is in the state waited for, and tells the
// operator what it goes through meanwhile. If the time runs out first it returns
// the agent as it was last seen, with an error.
func (p *program) await(ctx context.Context, s servers, a rest.Agent, w waiting) (rest.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var said string
	for a.Trust != wire.Trust(w.state) {
		if now := stateWords(a); !p.json && now != said {
			p.say("waiting for %s: %s", w.state, now)
			said = now
		}
		next, err := s.verifier.PollAgent(ctx, a.ID, a.Revision)
		if err != nil && ctx.Err() == context.DeadlineExceeded {
			return a, late(a, w)
		}
		if err != nil {
			return a, err
		}
		a = next
	}
	return a, nil
}

// stateWords is an agent's trust and why.
func stateWords(a rest.Agent) string {
	if a.Reason == "" {
		return string(a.Trust)
	}
	return string(a.Trust) + ", " + a.Reason
}

// notInTime is an errOtherState with words.
type notInTime string

func (n notInTime) Error() string { return string(n) }
func (n notInTime) Unwrap() error { return errOtherState }

// late explains why the agent is not where the operator wants it.
func late(a rest.Agent, w waiting) error {
	err := error(notInTime(fmt.Sprintf("agent %s is %s and not %s after %v", short(a.ID), a.Trust, w.state, w.timeout)))
	switch {
	case a.Trust == wire.Untrusted:
		return daemon.WithHint(err, `"%s agent status %s" shows the failures`, name, short(a.ID))
	case a.Trust == wire.Unjudged:
		return daemon.WithHint(err, `name a policy with "%s agent update %s --policy"`, name, short(a.ID))
	case !a.Connected:
		return daemon.WithHint(err, "the agent is not connected to the verifier: is quicklime-agent running there?")
	}
	return daemon.WithHint(err, "the verifier's log says what came of the agent's evidence")
}
