package tenant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
)

// certificates is the JSON of "ca list".
type certificates struct {
	Certificates []ca.Entry `json:"certificates"`
	CRL          crlAnswer  `json:"crl"`
}

func (p *program) caList(place *caPlace) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the certificates that were issued",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			return place.within(func(d *state.Directory) error { return p.listCertificates(d, all) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that have expired")
	return c
}

func (p *program) listCertificates(d *state.Directory, all bool) error {
	l := certificates{Certificates: slices.Clone(orEmpty(d.Register.Certificates)), CRL: crlOf(d)}
	if !all {
		l.Certificates = slices.DeleteFunc(l.Certificates, func(e ca.Entry) bool { return e.Expired(p.now()) })
	}
	if p.now().After(l.CRL.NextUpdate) {
		p.warn("%s: make the next with %q", l.CRL, name+" ca crl")
	}
	t := &table{heading: []string{"SERIAL", "NAME", "KEY", "STATE", "FOR"}}
	for _, e := range l.Certificates {
		of := e.Name
		if of == e.Names.Agent {
			of = short(of)
		}
		t.add(append(plain(short(e.Serial), of, string(e.Key)), p.certificateState(e), cell{text: forWhat(e)})...)
	}
	return p.showTable(l, t, fmt.Sprintf("there is no certificate; %q and %q make one", name+" ca create", name+" ca package"))
}

// certificateState is what a certificate is good for now.
func (p *program) certificateState(e ca.Entry) cell {
	switch {
	case e.Revoked():
		return cell{fmt.Sprintf("revoked %s (%s)", p.ago(e.RevokedAt), e.Reason), red}
	case e.Expired(p.now()):
		return cell{"expired " + p.ago(e.NotAfter), yellow}
	}
	until := "until " + e.NotAfter.Format("2006-01-02 15:04 MST")
	if e.Package != nil && e.Package.SentAt.IsZero() {
		return cell{until + ", not known to be sent", yellow}
	}
	return cell{text: until}
}

// forWhat is the names that a certificate is for, and the payload.
func forWhat(e ca.Entry) string {
	s := forNames(e.Names)
	if e.Package != nil {
		s += " payload " + e.Package.Payload
	}
	return s
}

func forNames(n ca.Names) string {
	all := slices.Concat(n.DNS, n.IP, n.URI)
	if n.Agent != "" {
		all = append(all, "agent "+short(n.Agent))
	}
	return strings.Join(all, " ")
}
