package tenant

import (
	"context"
	"io"

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

--wait waits for a state; --watch shows every change until it is interrupted.

Exit codes: 0 the agent is trusted, or with --wait in the state waited for;
1 it could not be found out: no such agent, no answer, no key; 2 usage; 3 the agent
is known and not trusted, or with --wait not in that state in time.`,
	}, &reach{verifier: true}, func(ctx context.Context, s servers, id string) error {
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
		return errOtherState
	}
	return late
}

// enrolled returns the agent, or says what to do if it is not enrolled.
func (s servers) enrolled(ctx context.Context, id string) (rest.Agent, error) {
	a, err := s.verifier.Agent(ctx, id)
	if isCode(err, rest.CodeNotFound) {
		return a, s.notEnrolled(ctx, id)
	}
	return a, err
}

// notEnrolled is the error about a machine that the verifier does not know. It
// says what the registrar knows of it.
func (s servers) notEnrolled(ctx context.Context, id string) error {
	_, err := s.registrar.Machine(ctx, id)
	switch {
	case err == nil:
		return rest.Errorf(rest.CodeNotFound, "agent %s is registered but not enrolled", short(id)).
			WithHint(`enrol it with "%s agent add %s"`, name, short(id))
	case isCode(err, rest.CodeNotFound):
		return rest.Errorf(rest.CodeNotFound, "agent %s is neither enrolled nor registered", short(id)).
			WithHint(`"%s agent list" shows every agent`, name)
	}
	return rest.Errorf(rest.CodeNotFound, "agent %s is not enrolled, and whether it is registered cannot be told: %v", short(id), err).
		WithHint(`if it is registered, enrol it with "%s agent add %s"`, name, short(id))
}
