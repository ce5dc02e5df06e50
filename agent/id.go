package agent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"quicklime/agent/tpmdev"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// identity is who the machine's TPM is.
type identity struct {
	ID           string     `json:"id"`
	Certificates []string   `json:"ek_certificates"` // who issued them
	Manufacturer string     `json:"tpm_manufacturer"`
	Banks        []pcr.Bank `json:"pcr_banks"`
}

func (p *program) idCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "id",
		Short: "Show who this machine is: agent id, EK certificate, TPM",
		Args:  noArgs,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "answer with one JSON document")
	c.RunE = p.configured(func(_ context.Context, cfg Config) error {
		id, err := identify(cfg.TPMDevice)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(p.stdout).Encode(id)
		}
		return id.write(p.stdout)
	})
	return c
}

// identify asks the TPM.
func identify(name string) (id identity, err error) {
	device, err := tpmdev.OpenShared(name) // the daemon keeps its keys
	if err != nil {
		return identity{}, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if id.ID, id.Certificates, err = endorsement(device); err != nil {
		return identity{}, err
	}
	if id.Manufacturer, err = device.Manufacturer(); err != nil {
		return identity{}, err
	}
	id.Banks, err = device.ActiveBanks()
	return id, err
}

// endorsement returns the agent id and who issued the EK's certificates.
func endorsement(device *tpmdev.Device) (id string, issuers []string, err error) {
	e, err := device.Endorsement()
	if err != nil {
		return "", nil, err
	}
	ek, err := tpm.ParsePublic(e.Public)
	if err != nil {
		return "", nil, err
	}
	issuers = []string{}
	for _, der := range e.Certificates {
		issuers = append(issuers, issuer(der))
	}
	return ek.AgentID(), issuers, nil
}

// issuer names the issuer of a certificate as far as it can be read: the
// registrar judges it, not the agent.
func issuer(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return c.Issuer.String()
}

func (id identity) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "agent id\t%s\n", id.ID)
	for _, c := range id.Certificates {
		fmt.Fprintf(t, "EK certificate\tissued by %q\n", c)
	}
	if len(id.Certificates) == 0 {
		fmt.Fprintf(t, "EK certificate\tnone: enrolling needs --accept-ek\n")
	}
	fmt.Fprintf(t, "TPM\t%q\n", id.Manufacturer)
	fmt.Fprintf(t, "PCR banks\t%v\n", id.Banks)
	return t.Flush()
}
