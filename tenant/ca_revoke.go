package tenant

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire/daemon"
)

// revoked is the JSON of "ca revoke".
type revoked struct {
	Certificates []ca.Entry `json:"certificates"`
	CRL          crlAnswer  `json:"crl"`
}

func (p *program) caRevoke(place *caPlace) *cobra.Command {
	var (
		reason  string
		consent confirmation
	)
	c := &cobra.Command{
		Use:   "revoke NAME|SERIAL",
		Short: "Revoke one certificate, or all that a name has, and make a revocation list",
		Long: `Revoke certificates for good and make the next revocation list. NAME is a certificate's
name or an agent's id, and means all its certificates that are in force; SERIAL is a
serial number, and means that one. Of an id and of a serial number the beginning does, of
at least 6 digits, if nothing else here begins so.`,
		Args: exactly(1, "NAME or SERIAL"),
		RunE: func(c *cobra.Command, args []string) error {
			why, err := ca.ParseReason(reason)
			if err != nil {
				return usage(c, "--reason: %v", err)
			}
			// Others are not kept out while the operator thinks.
			var what string
			err = place.within(func(d *state.Directory) (err error) {
				_, what, err = p.toRevoke(d.Register, args[0])
				return err
			})
			if err != nil {
				return err
			}
			if err := consent.ask(p, what); err != nil {
				return err
			}
			return place.within(func(d *state.Directory) error { return p.revokeCertificates(d, args[0], why) })
		},
	}
	c.Flags().StringVar(&reason, "reason", "unspecified", "say why: keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn; `REASON` is in the list")
	consent.flag(c)
	return c
}

// toRevoke finds what arg names that is in force, and says what is to happen to it.
func (p *program) toRevoke(r ca.Register, arg string) (places []int, what string, err error) {
	found := r.Find(arg)
	places = slices.DeleteFunc(slices.Clone(found), func(i int) bool {
		return r.Certificates[i].Revoked() || r.Certificates[i].Expired(p.now())
	})
	switch {
	case len(found) == 0:
		err = fmt.Errorf("no certificate %q", arg)
	case len(places) == 0:
		err = fmt.Errorf("no certificate of %q is in force: revoked or expired", arg)
	default:
		what = fmt.Sprintf("revoking %s of %s", counted(len(places), "certificate", "certificates"), r.Certificates[places[0]].Name)
	}
	return places, what, daemon.WithHint(err, "%q shows all; an agent's id and a serial number may be shortened to %d digits", name+" ca list --all", ca.MinDigits)
}

func (p *program) revokeCertificates(d *state.Directory, arg string, why ca.Reason) error {
	places, _, err := p.toRevoke(d.Register, arg)
	if err != nil {
		return err
	}
	r := d.Register
	r.Certificates = slices.Clone(r.Certificates)
	r.Revoke(places, why, p.now())
	if _, err := writeList(d, r, p); err != nil {
		return err
	}
	answer := revoked{CRL: crlOf(d)}
	for _, i := range places {
		answer.Certificates = append(answer.Certificates, r.Certificates[i])
	}
	return p.show(answer, func(w io.Writer) {
		for _, e := range answer.Certificates {
			fmt.Fprintf(w, "revoked %s of %s\n", short(e.Serial), e.Name)
		}
		fmt.Fprintln(w, answer.CRL)
		p.say("give the list to all who check certificates of this authority; those with a package have the list of its day")
	})
}
