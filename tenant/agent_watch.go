package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quicklime/tenant/client"
	"quicklime/wire/rest"
)

// watchPause is how long --watch leaves a verifier alone that does not answer: a
// restart takes a few seconds.
const watchPause = 2 * time.Second

// watch shows the agent and then a line for every change that a person would
// call one, until it is interrupted. A heartbeat is none.
func (p *program) watch(ctx context.Context, s servers, id string) error {
	a, err := s.enrolled(ctx, id)
	if err != nil {
		return err
	}
	p.writeStatus(p.stdout, a)
	for seen := changeLine(a); ; {
		a, err = p.next(ctx, s, a)
		if errors.Is(err, context.Canceled) {
			return nil // the operator has seen enough
		}
		if err != nil {
			return err
		}
		if now := changeLine(a); now != seen {
			fmt.Fprintf(p.stdout, "%s  %s\n", p.now().UTC().Format(time.TimeOnly), now)
			seen = now
		}
	}
}

// next returns what becomes of an agent after a, or just as it is once a verifier
// that could not be reached answers again.
func (p *program) next(ctx context.Context, s servers, a rest.Agent) (rest.Agent, error) {
	next, err := s.verifier.PollAgent(ctx, a.ID, a.Revision)
	gone := unreachable(err)
	if gone == nil {
		return next, err
	}
	p.say("verifier unreachable: %s: %v; retrying", gone.URL, gone.Err)
	for unreachable(err) != nil {
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(p.pause):
		}
		next, err = s.verifier.Agent(ctx, a.ID)
	}
	if err == nil {
		p.say("the verifier answers again")
	}
	return next, err
}

// unreachable is the error in err that says that a server gave no answer, or nil.
func unreachable(err error) *client.Unreachable {
	u, _ := errors.AsType[*client.Unreachable](err)
	return u
}

// changeLine is what --watch compares and shows of an agent.
func changeLine(a rest.Agent) string {
	line := stateWords(a)
	if a.Epoch != nil {
		line += fmt.Sprintf("; %s of boot %d.%d", counted(a.Epoch.Entries, "entry", "entries"), a.Epoch.ResetCount, a.Epoch.RestartCount)
	}
	if a.FailureCount > 0 {
		line += "; " + counted(a.FailureCount, "failure", "failures")
		if a.ToleratedCount > 0 {
			line += fmt.Sprintf(", %d tolerated", a.ToleratedCount)
		}
	}
	if a.Severity != "" {
		line += "; severity " + a.Severity
	}
	if !a.Connected {
		line += "; not connected"
	}
	return printable(line)
}
