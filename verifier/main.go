package verifier

import (
	"context"
	"io"
	"log/slog"
	"time"

	"quicklime/wire/daemon"
)

// Main is the main of quicklime-verifier. It returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	return daemon.Server[Config]{
		Component: "verifier",
		About: `Judges the evidence that agents push, by the policies of the operator, and keeps
what it found. It never polls.`,
		Config: DefaultConfig(),
		Run: func(ctx context.Context, cfg Config, log *slog.Logger) error {
			cfg.Log = log
			return Run(ctx, cfg)
		},
		Commands: []daemon.Command[Config]{{
			Name:  "rotate-revocation-key",
			About: "Make a new revocation key, which the one until now endorses.",
			Run:   func(_ context.Context, cfg Config, stdout io.Writer) error { return rotate(cfg, time.Now(), stdout) },
		}},
	}.Main(args, stdout, stderr)
}
