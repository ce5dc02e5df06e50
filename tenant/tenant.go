// Package tenant is the command line with which an operator drives a registrar
// and a verifier: quicklime-tenant, noun then verb, one file a command.
//
// Output. What was asked for goes to standard output, everything about how it
// went to standard error. With --json standard output is one JSON document, and
// an error is {"error": {"code", "message", "hint"}} on standard error; the codes
// are those of quicklime/wire/rest, and usage, unreachable and failed. Strings
// that come from machines never reach a terminal with control characters in
// them.
//
// Exit codes: 0 done, 1 failed, 2 usage. "agent status" also exits 1 when the
// agent is not trusted (or, with --wait, not in the state waited for), and
// "agent list" when one of the two servers did not answer.
package tenant

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"quicklime/wire/daemon"
)

// name is what the program calls itself.
const name = "quicklime-tenant"

// Main runs the program and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ(), now: time.Now}
	return p.run(ctx, args)
}

// A program is one run of quicklime-tenant.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ gives it
	now            func() time.Time

	configDir string // --config
	json      bool   // --json
}

// run executes the command that args name and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	// A usage error may come before the flag was read.
	p.json = p.json || slices.Contains(args, "--json")
	return p.finish(err)
}

// root returns the whole tree of commands.
func (p *program) root() *cobra.Command {
	root := p.noun(&cobra.Command{
		Use:   name,
		Short: "Drive a Quicklime registrar and verifier",
		Long: `quicklime-tenant enrols machines, shows whether they can be trusted and why not,
and keeps the policies they are judged under.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Version: daemon.Version,
	}, p.agent(), p.policy(), p.joinToken())
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(c, "%v", err)
	})
	root.PersistentFlags().StringVar(&p.configDir, "config", "/etc/quicklime", "read tenant.toml and tenant.toml.d from `DIR`")
	root.PersistentFlags().BoolVar(&p.json, "json", false, "answer with one JSON document")
	return root
}

// noun makes c a command that only has verbs: naming none, or another, is a
// usage error.
func (p *program) noun(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.AddCommand(verbs...)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(c, "%s has no command %q", c.CommandPath(), args[0])
		}
		return usage(c, "%s needs a command", c.CommandPath())
	}
	return c
}

// exactly makes n arguments, described by what, a condition of running c.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage(c, "%s takes %s", c.CommandPath(), what)
		}
		return nil
	}
}
