package tenant

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"time"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
	"quicklime/wire/payload/archive"
)

// A certificatePackage is on its way into a payload. Its private key is in this program's
// memory alone until it is sealed for the agent, so that a package that is not sent is
// gone.
type certificatePackage struct {
	to       recipient
	names    ca.Names
	life     life
	key      crypto.Signer
	plan     ca.Package // for the register
	included []ca.File

	// Since it was issued, or was not because of err:
	entry   ca.Entry
	archive []byte
	err     error
}

// newCertificatePackage makes the key of a package and reads what goes with it: nothing
// that takes time is left for when the authority is open.
func newCertificatePackage(to recipient, names ca.Names, kind ca.KeyKind, long life, plan ca.Package) (c *certificatePackage, err error) {
	plan.Version, plan.Life = to.manifest.Version, int64(long.Duration/time.Second)
	c = &certificatePackage{to: to, names: names, life: long, plan: plan}
	if c.included, err = readIncluded(plan.Include); err != nil {
		return nil, err
	}
	c.key, err = kind.Generate()
	return c, err
}

// issuePackages certifies the keys of packages, and has the register know them before
// any is sent. A package has its own error if there is something wrong with it alone.
func (p *program) issuePackages(d *state.Directory, packages ...*certificatePackage) error {
	if len(packages) == 0 {
		return nil
	}
	list, err := writeList(d, d.Register, p)
	if err != nil {
		return err
	}
	r := d.Register
	for _, c := range packages {
		c.err = c.issue(p, d, &r, list)
	}
	return d.Save(r)
}

func (c *certificatePackage) issue(p *program, d *state.Directory, r *ca.Register, list []byte) error {
	cert, err := p.certify(d, ca.Request{Name: c.names.Agent, Names: c.names, Public: c.key.Public(), Life: c.life.Duration}, c.life.given)
	if err != nil {
		return err
	}
	files, err := d.Authority.Bundle(cert, c.key, list)
	if err != nil {
		return err
	}
	if files, err = join(files, c.included); err != nil {
		return err
	}
	if c.archive, err = tarred(files, p.now()); err != nil {
		return err
	}
	c.entry, err = r.AddPackage(cert, c.names, c.plan, p.now())
	return err
}

// tarred is a package as the payload that it becomes.
func tarred(files []ca.File, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	if err := ca.WriteTar(&b, files, now); err != nil {
		return nil, err
	}
	if b.Len() > payload.MaxSize {
		return nil, daemon.WithHint(fmt.Errorf("the package has %s, and a payload at most %s", byteSize(uint64(b.Len())), byteSize(payload.MaxSize)), "include less")
	}
	if err := archive.Check(bytes.NewReader(b.Bytes()), int64(b.Len()), archive.MaxUnpacked); err != nil {
		return nil, fmt.Errorf("the machine would not unpack the package: %w", err)
	}
	return b.Bytes(), nil
}

// sendPackage sends a package that was issued. Nobody gets it once its certificate has
// ended.
func (p *program) sendPackage(ctx context.Context, s servers, c *certificatePackage) (v payloadView, err error) {
	what := contents{kind: payload.Certificates, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.archive)), nil }}
	c.to.manifest.Expires = c.entry.NotAfter
	sealed, err := s.config.seal(c.to, what)
	if err != nil {
		return v, err
	}
	return p.deliver(ctx, s, c.entry.Names.Agent, sealed)
}

// markSent has the register know which certificates were sent, and returns them as they
// are there.
func (p *program) markSent(d *state.Directory, serials ...string) ([]ca.Entry, error) {
	r := d.Register
	marked := r.MarkSent(p.now(), serials...)
	if len(marked) == 0 {
		return nil, nil
	}
	return marked, d.Save(r)
}
