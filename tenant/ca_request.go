package tenant

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire/daemon"
)

// caRequest is what the flags ask of a certificate.
type caRequest struct {
	dns, ips, uris []string
	kind           string
	life           life
}

func (r *caRequest) flags(c *cobra.Command) {
	r.life.Duration = 365 * 24 * time.Hour
	f := c.Flags()
	f.StringArrayVar(&r.dns, "dns", nil, "a DNS `NAME` that it is for; repeatable")
	f.StringArrayVar(&r.ips, "ip", nil, "an IP `ADDRESS` that it is for; repeatable")
	f.StringArrayVar(&r.uris, "uri", nil, "a `URI` that it is for; repeatable")
	f.StringVar(&r.kind, "key", string(ca.P256), "make a key of `KIND`: p256 or rsa3072")
	f.Var(&r.life, "life", "how long it lives, no longer than the authority")
}

// issued is a certificate with its key, and the register that knows it, which is to
// be saved before anybody has the certificate.
type issued struct {
	entry    ca.Entry
	cert     *x509.Certificate
	key      crypto.Signer
	register ca.Register
}

// useless says what to do about a certificate that is in the register and in no file.
func (i issued) useless(err error) error {
	serial := short(i.entry.Serial)
	return daemon.WithHint(err, "certificate %s is in the register and of no use: %q", serial, name+" ca revoke "+serial)
}

// check holds the flags against their grammars, before anything is made.
func (r *caRequest) check(c *cobra.Command, agent string) (ca.Names, ca.KeyKind, error) {
	names, kind, err := r.parse(agent)
	if err != nil {
		err = usage(c, "%v", err)
	}
	return names, kind, err
}

// parse reads the flags of a certificate that may name an agent.
func (r *caRequest) parse(agent string) (ca.Names, ca.KeyKind, error) {
	names, err := ca.NewNames(r.dns, r.ips, r.uris, agent)
	if err != nil {
		return names, "", err
	}
	kind, err := ca.ParseKeyKind(r.kind)
	if err != nil {
		return names, "", fmt.Errorf("--key: %w", err)
	}
	return names, kind, nil
}

// issue makes a key and a certificate.
func (r *caRequest) issue(p *program, d *state.Directory, subject string, names ca.Names, kind ca.KeyKind) (issued, error) {
	key, err := kind.Generate()
	if err != nil {
		return issued{}, err
	}
	c, err := p.certify(d, ca.Request{Name: subject, Names: names, Public: key.Public(), Life: r.life.Duration}, r.life.given)
	if err != nil {
		return issued{}, err
	}
	register := d.Register
	entry, err := register.Add(c, names, p.now())
	return issued{entry, c, key, register}, err
}

// certify makes a certificate. Unless its life is to be exactly that, it ends with the
// authority if the authority ends first.
func (p *program) certify(d *state.Directory, r ca.Request, exactly bool) (*x509.Certificate, error) {
	now, end := p.now(), d.Authority.Certificate().NotAfter
	if left := end.Sub(now); !exactly && 0 < left && left < r.Life {
		r.Life = left
		p.say("the certificate ends with the authority, on %s", end.Format(time.RFC3339))
	}
	c, err := d.Authority.Issue(r, now)
	if errors.Is(err, ca.ErrOutlives) {
		return nil, daemon.WithHint(err, "ask for a shorter --life, or make a new authority in another --dir")
	}
	return c, err
}
