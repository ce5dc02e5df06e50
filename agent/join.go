package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"quicklime/agent/registration"
	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
)

// joinTimeout bounds a registration: on slow TPMs making an RSA EK takes half a
// minute, and every address of the registrar's name may be tried.
const joinTimeout = 2 * time.Minute

func (p *program) joinCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "join < TOKEN",
		Short: "Register this machine with the token's installation",
		Long: `Register this machine's TPM under a join token, and remember which verifier to
attest to. The token is a secret: it is read from standard input or a file that
only its owner may read, never from the command line, which every user sees.

Joining again is harmless. It is what to do after the TPM was cleared.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return daemon.WithHint(errors.New("a token does not belong on the command line, where every user sees it"),
					"run \"%s join < FILE\", with a new token if others use this machine", name)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "token-file", "", "read the token from `FILE`, which only its owner may read")
	c.RunE = p.configured(func(ctx context.Context, cfg Config) error {
		token, err := p.readToken(file)
		if err != nil {
			return err
		}
		return p.join(ctx, cfg, token)
	})
	return c
}

// readToken reads the token from the file, or else from standard input.
func (p *program) readToken(file string) (jointoken.Token, error) {
	text, err := p.tokenText(file)
	if err != nil {
		return jointoken.Token{}, fmt.Errorf("read the token: %w", err)
	}
	token, err := jointoken.Parse(string(text))
	if err != nil {
		return jointoken.Token{}, daemon.WithHint(err, "give the whole line that \"quicklime-tenant join-token create\" printed")
	}
	return token, nil
}

func (p *program) tokenText(file string) ([]byte, error) {
	if file != "" {
		return conf.ReadSecret(file, jointoken.MaxText)
	}
	if f, ok := p.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(p.stderr, "join token (it is not shown): ")
		defer fmt.Fprintln(p.stderr)
		return term.ReadPassword(int(f.Fd()))
	}
	return io.ReadAll(io.LimitReader(p.stdin, jointoken.MaxText+1))
}

// join registers, keeps the membership and says what is next.
func (p *program) join(ctx context.Context, cfg Config, token jointoken.Token) error {
	label, err := cfg.label()
	if err != nil {
		return err
	}
	if !wire.Printable(label, wire.MaxLabel) {
		return daemon.WithHint(fmt.Errorf("label %q is not printable or too long", label), "set another label in agent.toml")
	}
	if err := prepareStateDir(cfg.StateDir); err != nil { // before the token is used up
		return err
	}
	registered, err := register(ctx, cfg.TPMDevice, token, registration.Machine{Label: label, Software: daemon.Software()})
	if err != nil {
		return err
	}
	if err := writeMembership(cfg.membershipFile(), registered.Membership); err != nil {
		return fmt.Errorf("the machine is registered, but that could not be kept: %w", err)
	}
	return writeJoined(p.stdout, registered, label)
}

// prepareStateDir makes the directory if need be, and sees that it can be written
// to.
func prepareStateDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, "writable-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return daemon.WithHint(fmt.Errorf("state directory: %w", err), "run as root, or set another state_dir in agent.toml")
	}
	return nil
}

// register registers the TPM and gives the registration's hint to its error.
func register(ctx context.Context, name string, token jointoken.Token, m registration.Machine) (r registration.Registered, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	device, err := tpmdev.Open(name)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	r, err = registration.Register(ctx, device, token, m)
	if e, ok := errors.AsType[*registration.Error](err); ok {
		return r, daemon.WithHint(err, "%s", e.Hint)
	}
	return r, err
}

func writeJoined(w io.Writer, r registration.Registered, label string) error {
	m := r.Membership
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, joinedText[r.Outcome])
	fmt.Fprintf(t, "  agent id\t%s\n  label\t%s (what this machine calls itself; the join token may say otherwise)\n  registrar\t%s\n  verifier\t%s\n", m.ID, label, m.Registrar.Address, m.Verifier.Address)
	fmt.Fprintf(t, "next: an operator runs \"quicklime-tenant agent %s %s\"\n", nextVerb[r.Outcome], m.ID[:12])
	fmt.Fprintf(t, "      this machine runs \"%s run\"\n", name)
	return t.Flush()
}

// joinedText says what a registration changed, and nextVerb what an operator does
// about it.
var (
	joinedText = map[wire.Outcome]string{
		wire.OutcomeNew:       "This machine is registered.",
		wire.OutcomeSame:      "This machine was registered already, with the same keys.",
		wire.OutcomeOtherKeys: "This machine was registered before with other keys: its TPM was cleared, perhaps.",
	}
	nextVerb = map[wire.Outcome]string{
		wire.OutcomeNew:       "add",
		wire.OutcomeSame:      "add",
		wire.OutcomeOtherKeys: "rebind",
	}
)
