package tenant

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire/daemon"
)

// newAuthority is the JSON of "ca init".
type newAuthority struct {
	Name     string     `json:"name"`
	Key      ca.KeyKind `json:"key"`
	NotAfter time.Time  `json:"not_after"`
	Dir      string     `json:"dir"`
	CRL      crlAnswer  `json:"crl"`
}

func (p *program) caInit(place *caPlace) *cobra.Command {
	var subject, kind string
	long, list := life{Duration: 10 * 365 * 24 * time.Hour}, life{Duration: 30 * 24 * time.Hour}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the authority: its key, its certificate and an empty revocation list",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := ca.ParseKeyKind(kind)
			if err != nil {
				return usage(c, "--key: %v", err)
			}
			return p.initCA(place, subject, k, long.Duration, list.Duration)
		},
	}
	f := c.Flags()
	f.StringVar(&subject, "name", "", "call it `NAME` in certificates; else \"Operator CA\" and some digits")
	f.StringVar(&kind, "key", string(ca.P256), "make a key of `KIND`: p256 or rsa3072")
	f.Var(&long, "life", "how long it lives; no certificate of it lives longer")
	f.Var(&list, "crl-life", "how long each of its revocation lists is good")
	return c
}

func (p *program) initCA(place *caPlace, subject string, kind ca.KeyKind, long, list time.Duration) (err error) {
	if subject == "" {
		digits := make([]byte, 4)
		if _, err := rand.Read(digits); err != nil {
			return err
		}
		subject = "Operator CA " + hex.EncodeToString(digits)
	}
	dir, err := place.dir()
	if err != nil {
		return err
	}
	d, err := state.Create(dir, func() (ca.Authority, ca.Register, error) {
		a, err := ca.New(subject, kind, long, p.now())
		return a, ca.NewRegister(list), err
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		return daemon.WithHint(err, "use the authority that is there, or name another directory with --dir")
	case errors.Is(err, fs.ErrPermission):
		return daemon.WithHint(err, "run %s as a user who may write there, or name another directory with --dir", name)
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err := writeList(d, d.Register, p); err != nil {
		return err
	}
	c := d.Authority.Certificate()
	answer := newAuthority{subject, kind, c.NotAfter, dir, crlOf(d)}
	return p.show(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %s, until %s, in %s\n", subject, kind, c.NotAfter.Format(time.RFC3339), dir)
		p.say("keep a copy of %s where nobody else has access: without it nothing can be issued or revoked", dir)
	})
}
