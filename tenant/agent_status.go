package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire"
	"quicklime/wire/rest"
)

func (p *program) agentStatus() *cobra.Command {
	var (
		wait  waiting
		watch bool
	)
	c := p.onAgent(&cobra.Command{
		Use:   "status AGENT",
		Short: "Show whether a machine can be trusted, and why not",
		Long: `Show whether a machine can be trusted, and why not.

The exit code is 0 if the agent is trusted, else 1. With --wait it is 0 once the
agent is in the state waited for, and 1 if the time runs out first. --watch shows
every change until it is interrupted.`,
	}, func(ctx context.Context, s servers, id string) error {
		if watch {
			return p.watch(ctx, s, id)
		}
		return p.status(ctx, s, id, wait)
	})
	wait.flags(c)
	c.Flags().BoolVar(&watch, "watch", false, "show every change until interrupted")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if watch && (p.json || wait.state != "") {
			return usage(c, "--watch is for a person to look at: it goes with neither --json nor --wait")
		}
		return wait.check(c)
	}
	return c
}

// status shows the agent as it is, or as it is at the end of waiting.
func (p *program) status(ctx context.Context, s servers, id string, w waiting) error {
	a, err := s.enrolled(ctx, id)
	if err != nil {
		return err
	}
	var late error
	if w.state != "" {
		a, late = p.await(ctx, s, a, w)
	}
	if err := p.show(a, func(w io.Writer) { p.writeStatus(w, a) }); err != nil {
		return err
	}
	if w.state == "" && a.Trust != wire.Trusted {
		return errSaid
	}
	return late
}

// enrolled returns the agent, or says what to do if it is not enrolled.
func (s servers) enrolled(ctx context.Context, id string) (rest.Agent, error) {
	a, err := s.verifier.Agent(ctx, id)
	if isCode(err, rest.CodeNotFound) {
		return a, withHint(fmt.Errorf("agent %s is not enrolled: %w", short(id), err), `enrol it with "%s agent add"`, name)
	}
	return a, err
}

// watch shows the agent and then a line for every change that a person would
// call one. A heartbeat is none.
func (p *program) watch(ctx context.Context, s servers, id string) error {
	a, err := s.enrolled(ctx, id)
	if err != nil {
		return err
	}
	p.writeStatus(p.stdout, a)
	for seen := changeLine(a); ; {
		next, err := s.verifier.PollAgent(ctx, id, a.Revision)
		if errors.Is(err, context.Canceled) {
			return verdictOf(a)
		}
		if err != nil {
			return err
		}
		a = next
		if now := changeLine(a); now != seen {
			fmt.Fprintf(p.stdout, "%s  %s\n", p.now().UTC().Format(time.TimeOnly), now)
			seen = now
		}
	}
}

// verdictOf is the exit code of a status as an error.
func verdictOf(a rest.Agent) error {
	if a.Trust == wire.Trusted {
		return nil
	}
	return errSaid
}

// changeLine is what --watch compares and shows of an agent.
func changeLine(a rest.Agent) string {
	line := stateWords(a)
	if a.Epoch != nil {
		line += fmt.Sprintf("; %d entries of boot %d.%d", a.Epoch.Entries, a.Epoch.ResetCount, a.Epoch.RestartCount)
	}
	if a.FailureCount > 0 {
		line += fmt.Sprintf("; %d failures", a.FailureCount)
	}
	if !a.Connected {
		line += "; not connected"
	}
	return printable(line)
}
