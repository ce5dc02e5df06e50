package agent

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"quicklime/agent/actions"
	"quicklime/wire/daemon"
	"quicklime/wire/notice"
)

func (p *program) actionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run-actions",
		Short: "Run the actions for what the verifier told of other machines",
		Long: `Run every executable in /etc/quicklime/actions.d for each notice that the agent has
put into its spool, with the event as JSON on standard input, and then end. systemd
starts it when there is a notice (quicklime-actions.path); the agent runs nothing.`,
		Args: noArgs,
		RunE: p.configured(runActions),
	}
}

func runActions(ctx context.Context, cfg Config) error {
	member, err := readMembership(cfg.membershipFile())
	if err != nil {
		return err
	}
	if member.RevocationKey == (notice.Key{}) {
		return daemon.WithHint(errors.New("this machine joined by a token without the verifier's revocation key: it gets no notices"),
			"join again with a new token")
	}
	return actions.Run(ctx, actions.Config{
		Dir: cfg.Actions.Dir, Spool: cfg.spool(), State: cfg.Actions.StateDir, Key: member.RevocationKey, Keys: cfg.noticeKeys(), AgentID: member.ID,
		Timeout: time.Duration(cfg.Actions.Timeout), Linger: actions.Linger, Log: cfg.logger(),
	})
}
