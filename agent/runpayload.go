package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quicklime/agent/payload"
	"quicklime/wire/daemon"
)

func (p *program) runPayloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run-payload",
		Short: "Run what payloads brought and the configuration allows, once",
		Long: `Run what payloads brought and run in [payload] of agent.toml allows, and leave what
became of it to the agent, which tells the operator. The agent itself runs nothing that
it was sent: quicklime-payload.path has systemd start this when there is something to
run, with the user and the limits of quicklime-payload.service.`,
		Args: noArgs,
		RunE: p.configured(runPayloads),
	}
}

func runPayloads(ctx context.Context, cfg Config) error {
	allowed := payload.Allowed(cfg.Payload.Run)
	if err := allowed.Check(); err != nil {
		return fmt.Errorf("run in [payload]: %w", err)
	}
	if cfg.Payload.Run == "" {
		return daemon.WithHint(errors.New("nothing that payloads bring is allowed to be run"), "set run in [payload] of agent.toml, for example to \"*/autorun.sh\"")
	}
	if cfg.Payload.RunTimeout <= 0 {
		return errors.New("run_timeout in [payload] is no length of time")
	}
	r := payload.Runner{Dir: cfg.Payload.Dir, Allowed: allowed, Timeout: time.Duration(cfg.Payload.RunTimeout), Linger: payload.Linger, Log: cfg.logger(), Now: time.Now}
	return r.RunAll(ctx)
}
