package tenant

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
)

const (
	// certificatePayload is what the payload of a certificate is called, if nobody says
	// otherwise.
	certificatePayload = "certificate"

	// configuredCA is what --cert takes for the authority in ca_dir of tenant.toml.
	configuredCA = "default"
)

// certificateFlags are the flags of a certificate that is sent.
type certificateFlags struct {
	ca      string // --cert
	request caRequest
	include []string
}

func (f *certificateFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.ca, "cert", "", `send a certificate package of the authority in the directory `+"`CA`"+`; "`+configuredCA+`" is ca_dir of tenant.toml`)
	f.request.flags(c)
	c.Flags().StringArrayVar(&f.include, "include", nil, "add the file, or all files of the directory, at `PATH`, as they are whenever the certificate is renewed; repeatable")
	for _, name := range certificateOnly {
		flag := c.Flags().Lookup(name)
		flag.Usage = "with --cert: " + flag.Usage
	}
}

// certificateOnly are the flags that mean nothing without --cert.
var certificateOnly = []string{"dns", "ip", "uri", "key", "life", "include"}

// args are AGENT and what is sent, which is either a file or a certificate.
func (f *certificateFlags) args(c *cobra.Command, args []string) error {
	if err := f.check(c); err != nil {
		return err
	}
	if f.ca == "" {
		return exactly(2, "AGENT and FILE|DIR, or AGENT and --cert")(c, args)
	}
	for _, name := range []string{"as-file", "expires"} {
		if c.Flags().Changed(name) {
			return usage(c, "--%s does not go with --cert: a package is unpacked, and nobody gets it once its certificate has ended, which --life says", name)
		}
	}
	return exactly(1, "AGENT alone with --cert; --include adds files to the package")(c, args)
}

// check holds the flags against each other and their grammars.
func (f *certificateFlags) check(c *cobra.Command) error {
	if f.ca != "" {
		_, _, err := f.request.check(c, "")
		return err
	}
	for _, name := range certificateOnly {
		if c.Flags().Changed(name) {
			return usage(c, "--%s goes with --cert", name)
		}
	}
	return nil
}

// place is the authority that --cert names.
func (f *certificateFlags) place(p *program) *caPlace {
	if f.ca == configuredCA {
		return &caPlace{p: p}
	}
	return &caPlace{p: p, flag: f.ca}
}

// sendCertificate issues a certificate to a machine and sends it as a payload.
func (p *program) sendCertificate(ctx context.Context, agent string, f *certificateFlags, o shipment) error {
	if err := f.place(p).within(func(*state.Directory) error { return nil }); err != nil {
		return err // before anybody is asked
	}
	s, err := p.connect()
	if err != nil {
		return err
	}
	id, err := s.resolve(ctx, agent, reach{registrar: true, verifier: true})
	if err != nil {
		return err
	}
	pkg, err := p.certificateFor(ctx, s, id, f, o)
	if err != nil {
		return err
	}
	v, err := p.issueAndSend(ctx, s, f.place(p), pkg)
	if err != nil {
		return err
	}
	return p.showDelivered(ctx, s, v, o)
}

// certificateFor makes the package of the agent id, as the flags say.
func (p *program) certificateFor(ctx context.Context, s servers, id string, f *certificateFlags, o shipment) (*certificatePackage, error) {
	names, kind, err := f.request.parse(id)
	if err != nil {
		return nil, err
	}
	plan := ca.Package{Payload: o.name, AcceptEK: o.acceptEK != ""}
	if plan.Payload == "" {
		plan.Payload = certificatePayload
	}
	for _, path := range f.include {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		plan.Include = append(plan.Include, path)
	}
	to, err := p.recipient(ctx, s, id, plan.Payload, o.acceptEK)
	if err != nil {
		return nil, err
	}
	return newCertificatePackage(to, names, kind, f.request.life, plan)
}

// issueAndSend keeps the authority open while it issues, and not while it sends.
func (p *program) issueAndSend(ctx context.Context, s servers, place *caPlace, pkg *certificatePackage) (v payloadView, err error) {
	err = place.within(func(d *state.Directory) error { return errors.Join(p.issuePackages(d, pkg), pkg.err) })
	if err != nil {
		return v, err
	}
	if v, err = p.sendPackage(ctx, s, pkg); err != nil {
		serial := short(pkg.entry.Serial)
		p.warn("certificate %s was issued and is not known to have been sent; if it lives long: %q", serial, name+" ca revoke "+serial)
		return v, err
	}
	err = place.within(func(d *state.Directory) error {
		marked, err := p.markSent(d, pkg.entry.Serial)
		if len(marked) == 1 {
			v.Certificate = &marked[0]
		}
		return err
	})
	return v, err
}
