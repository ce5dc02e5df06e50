package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"quicklime/wire/conf"
	"quicklime/wire/daemon"
)

// name is what the program calls itself.
const name = "quicklime-agent"

// Main runs the program and returns its exit code: 0 done, 1 failed, 2 usage.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr}
	return p.run(ctx, args)
}

// program is one run of quicklime-agent.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	configDir string // --config
	log       *slog.Logger
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return p.finish(root.ExecuteContext(ctx))
}

// finish turns a command's error into words and an exit code.
func (p *program) finish(err error) int {
	if err != nil {
		daemon.Complain(p.stderr, name, err)
	}
	return daemon.ExitCode(err)
}

// root returns the program's commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   name,
		Short: "Prove to a verifier what this machine has measured",
		Long: `quicklime-agent attests this machine: it joins an installation once, with a token
that an operator made, and then runs as a daemon that proves to the verifier what
the kernel has measured. It listens on nothing.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Version: daemon.Version,
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q", args[0])
			}
			return usage("name a command")
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.PersistentFlags().StringVar(&p.configDir, "config", conf.DefaultDirs.System, "read agent.toml and agent.toml.d from `DIR`")
	root.AddCommand(p.joinCommand(), p.runCommand(), p.runPayloadCommand(), p.idCommand(), p.doctorCommand(), p.actionsCommand())
	return root
}

func usage(format string, args ...any) error {
	return daemon.WithHint(fmt.Errorf(format, args...), "see \"%s --help\"", name)
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments", c.CommandPath())
	}
	return nil
}

// dirs is where the configuration is.
func (p *program) dirs() conf.Dirs {
	return conf.Dirs{Vendor: conf.DefaultDirs.Vendor, System: p.configDir}
}

// load reads the configuration.
func (p *program) load() (Config, error) {
	cfg := DefaultConfig()
	err := conf.Load("agent", p.dirs(), os.Environ(), &cfg)
	if p.log == nil {
		p.log = daemon.Logger(p.stderr)
	}
	cfg.Log = p.log
	return cfg, err
}

// configured reads the configuration for do, and marks what do returns as a
// failure.
func (p *program) configured(do func(context.Context, Config) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		cfg, err := p.load()
		if err != nil {
			return daemon.Failed(err)
		}
		if err := daemon.ChooseSHA256(); err != nil {
			return daemon.Failed(err)
		}
		return daemon.Failed(do(c.Context(), cfg))
	}
}

func (p *program) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Attest until told to stop",
		Args:  noArgs,
		RunE:  p.configured(p.attest),
	}
}
