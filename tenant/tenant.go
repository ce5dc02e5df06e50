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
// Exit codes: 0 done, 1 failed, 2 usage, 3 what was asked about is not as hoped for.
// "agent list" fails when one of the two servers did not answer. "agent status"
// exits
//
//	0  the agent is trusted; with --wait, in the state waited for; with --watch,
//	   the operator has seen enough
//	1  it could not be found out: no such agent, no answer, no key
//	3  the agent is known and not trusted; with --wait, not in that state in time
//
// and "agent add --wait" exits 3 when the agent is enrolled and does not come into
// the state waited for in time. "diff" of policies and boot policies exits 3 when they
// differ, "test" when something of the list or boot log would fail, and "boot-policy
// explain" when a digest is contradicted.
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
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ(), now: time.Now, pause: watchPause}
	return p.run(ctx, args)
}

// A program is one run of quicklime-tenant.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ gives it
	now            func() time.Time
	pause          time.Duration // before a server that does not answer is asked again

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
	misread := refuseHelp(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = *misread
	}
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

Exit codes: 0 done, 1 failed, 2 usage, 3 what was asked about is not as hoped for: an
agent is not trusted, policies differ, entries of a list would fail.`,
		Version: daemon.Version,
	}, p.agent(), p.policy(), p.bootPolicy(), p.payload(), p.search(), p.events(), p.joinToken(), p.ca())
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
			return noCommand(c, args[0])
		}
		return usage(c, "%s needs a command", c.CommandPath())
	}
	return c
}

func noCommand(c *cobra.Command, verb string) error {
	return usage(c, "%s has no command %q", c.CommandPath(), verb)
}

// refuseHelp makes asking for help with a verb that there is not an error, which
// it puts where it returns: cobra shows the noun's help and is content.
func refuseHelp(root *cobra.Command) *error {
	var misread error
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c.HasSubCommands() && c.Flags().NArg() > 0 {
			misread = noCommand(c, c.Flags().Arg(0))
			return
		}
		help(c, args)
	})
	return &misread
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
