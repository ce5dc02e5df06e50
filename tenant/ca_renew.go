package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
)

// renewOptions are what the flags of "ca renew" say.
type renewOptions struct {
	all    bool
	within life
}

// due reports whether a certificate that was sent is to be renewed.
func (o renewOptions) due(e ca.Entry, now time.Time) bool {
	switch {
	case e.Revoked():
		return false
	case o.all:
		return true
	case o.within.given:
		return !now.Before(e.NotAfter.Add(-o.within.Duration))
	}
	return e.InLastThird(now)
}

func (p *program) caRenew(place *caPlace) *cobra.Command {
	var o renewOptions
	c := &cobra.Command{
		Use:   "renew [AGENT…]",
		Short: "Renew the certificates that were sent as payloads, of machines that are trusted",
		Long: `Renew the certificates that "payload send --cert" sent: each that has lived for two thirds
of its life, if the verifier says that its machine is trusted now. The machine gets a new key
and certificate, with the names and the life of the one before, which they replace in one step.

Nothing is renewed for a machine that is not trusted, nor what was revoked, withdrawn, or
replaced by another payload. What was begun and not sent is done by the next run; several
at once wait for each other. It is made for a timer: see docs/ca.md.

Exit codes: 0 done, or nothing to do; 1 something failed; 2 usage; 3 a certificate was not
renewed because its machine is not trusted, or was enrolled anew.

` + helpAgent,
		RunE: func(c *cobra.Command, args []string) error {
			if o.all && o.within.given {
				return usage(c, "--all and --within say different things")
			}
			return p.renewAll(c.Context(), place, args, o)
		},
	}
	c.Flags().BoolVar(&o.all, "all", false, "renew all, whatever is left of their lives")
	c.Flags().Var(&o.within, "within", "renew those that end within that time, such as 8h, whatever part of their lives that is")
	c.Flags().Lookup("within").DefValue = "" // there is none
	return c
}

// What became of a certificate that was to be renewed.
const (
	renewed       = "renewed"
	renewRefused  = "not trusted" // its machine is not, or not known
	renewGone     = "not there"   // the verifier has nothing that it would replace
	renewEnded    = "ended"       // somebody took it out of renewal
	renewFailed   = "failed"
	renewNotTried = "not tried" // what it needs failed for another
)

// renewalView is one renewal in the JSON of "ca renew".
type renewalView struct {
	Agent       string    `json:"agent"`
	Label       string    `json:"label,omitempty"`
	Payload     string    `json:"payload"`
	Result      string    `json:"result"`
	Reason      string    `json:"reason,omitempty"`
	Replaces    ca.Entry  `json:"replaces"`
	Certificate *ca.Entry `json:"certificate,omitempty"`
}

// renewalList is the JSON of "ca renew".
type renewalList struct {
	Renewals []renewalView `json:"renewals"`
	NotDue   int           `json:"not_due"`
}

// renewAll renews what is due, shows what became of each, and says whether all is well.
func (p *program) renewAll(ctx context.Context, place *caPlace, agents []string, o renewOptions) error {
	if err := place.within(func(*state.Directory) error { return nil }); err != nil {
		return err // before anybody is asked
	}
	s, err := p.connect()
	if err != nil {
		return err
	}
	var ids []string
	for _, arg := range agents {
		id, err := s.resolve(ctx, arg, reach{verifier: true})
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	done, err := p.renewing(ctx, place)
	if err != nil {
		return err
	}
	r := &renewer{program: p, servers: s, place: place, options: o, list: renewalList{Renewals: []renewalView{}}}
	broken := errors.Join(r.run(ctx, ids), done())
	if err := errors.Join(r.show(), broken); err != nil {
		return err
	}
	return r.verdict(ctx)
}

// renewing waits until nobody else renews certificates of the authority.
func (p *program) renewing(ctx context.Context, place *caPlace) (done func() error, err error) {
	dir, err := place.dir()
	if err != nil {
		return nil, err
	}
	for said := false; ; said = true {
		done, ok, err := state.TryRenew(dir)
		if ok || err != nil {
			return done, err
		}
		if !said {
			p.say("waiting for another that renews certificates of %s", dir)
		}
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// show shows what was renewed and what was not.
func (r *renewer) show() error {
	t := &table{heading: []string{"AGENT", "LABEL", "PAYLOAD", "RESULT", "CERTIFICATE", "REASON"}}
	for _, v := range r.list.Renewals {
		e, result := v.Replaces, cell{v.Result, yellow}
		switch {
		case v.Certificate != nil:
			e, result.colour = *v.Certificate, green
		case v.Result == renewFailed:
			result.colour = red
		}
		row := plain(short(v.Agent), v.Label, v.Payload, "", short(e.Serial)+" until "+e.NotAfter.Format("2006-01-02 15:04 MST"), v.Reason)
		row[3] = result
		t.add(row...)
	}
	nothing := "nothing to renew: no certificate that was sent as a payload is in force"
	if r.list.NotDue > 0 {
		nothing = fmt.Sprintf("nothing to renew: %s not due", counted(r.list.NotDue, "certificate is", "certificates are"))
	}
	return r.showTable(r.list, t, nothing)
}

// verdict is the outcome of it all.
func (r *renewer) verdict(ctx context.Context) error {
	count := map[string]int{}
	for _, v := range r.list.Renewals {
		count[v.Result]++
	}
	failed := count[renewFailed] + count[renewNotTried]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed > 0:
		return fmt.Errorf("%s not renewed: %w", counted(failed, "certificate was", "certificates were"), r.failure)
	case count[renewRefused]+count[renewGone] > 0:
		return errOtherState
	}
	return nil
}
