package registrar

import (
	"context"
	"io"
	"log/slog"

	"quicklime/wire/daemon"
)

// Main is the main of quicklime-registrar. It returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	return daemon.Server[Config]{
		Component: "registrar",
		About: `Knows which TPM is which: agents register with it, once each, under a join token
that an operator made.`,
		Config: DefaultConfig(),
		Run: func(ctx context.Context, cfg Config, log *slog.Logger) error {
			cfg.Log = log
			return Run(ctx, cfg)
		},
	}.Main(args, stdout, stderr)
}
