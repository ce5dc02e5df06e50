package tenant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// caPlace is where the operator's authority is kept.
type caPlace struct {
	p    *program
	flag string // --dir
}

// dir is the directory of --dir, else of tenant.toml.
func (c *caPlace) dir() (string, error) {
	if c.flag != "" {
		return c.flag, nil
	}
	config, err := c.p.load()
	return config.CADir, err
}

// ca is the noun of the operator's authority.
func (p *program) ca() *cobra.Command {
	place := &caPlace{p: p}
	c := p.noun(&cobra.Command{
		Use:   "ca",
		Short: "An authority of your own: certificates for machines, revocation, certificate packages",
		Long: `Keep a certification authority for the certificates that your machines carry once they
are trusted. It is not the one that registrar and verifier made for themselves.

  quicklime-tenant ca init
  quicklime-tenant payload send web-1 --cert default --dns web-1.example --life 24h
  quicklime-tenant ca renew

Everything is in one directory, to which only its owner has access. Lengths of
time are written like 90d or 12h.`,
	}, p.caInit(place), p.caCreate(place), p.caPackage(place), p.caRenew(place), p.caList(place), p.caRevoke(place), p.caCRL(place))
	c.PersistentFlags().StringVar(&place.flag, "dir", "", "the authority is in `DIR`, not in ca_dir of tenant.toml, /var/lib/quicklime/ca if that says nothing")
	return c
}

// open opens the authority, and keeps others out until it is closed.
func (c *caPlace) open() (*state.Directory, error) {
	dir, err := c.dir()
	if err != nil {
		return nil, err
	}
	d, err := state.Open(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, daemon.WithHint(fmt.Errorf("there is no authority in %s: %w", dir, err),
			"make one with %q, name another directory with --dir or ca_dir in tenant.toml, or restore what is missing from a backup", name+" ca init")
	case errors.Is(err, fs.ErrPermission):
		return nil, daemon.WithHint(err, "run %s as the owner of %s", name, dir)
	case err != nil:
		return nil, fmt.Errorf("the authority in %s: %w", dir, err)
	}
	return d, nil
}

// within calls do on the opened authority.
func (c *caPlace) within(do func(*state.Directory) error) error {
	d, err := c.open()
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// writeList makes a revocation list of r and keeps both.
func writeList(d *state.Directory, r ca.Register, p *program) ([]byte, error) {
	der, r, err := d.Authority.Revocations(r, p.now())
	if errors.Is(err, ca.ErrClockBehind) {
		return nil, daemon.WithHint(err, "set the clock; who checks would not take a list that is older than the one it has")
	}
	if err != nil {
		return nil, err
	}
	return der, d.SaveList(r, der)
}

// agentID is the id of an agent: arg if it is one, else whose name it is at the
// servers, which are not asked otherwise.
func (p *program) agentID(ctx context.Context, arg string) (string, error) {
	if wire.ValidID(arg) {
		return arg, nil
	}
	s, err := p.connect()
	if err != nil {
		return "", err
	}
	return s.resolve(ctx, arg, reach{})
}
