package tenant

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/identity"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// addition is what the flags of "agent add" say.
type addition struct {
	policy, label, lowestBank, acceptEK, payload string
	bootPolicy, tpmPolicy                        string
	cert                                         certificateFlags
	wait                                         waiting
}

func (p *program) agentAdd() *cobra.Command {
	var a addition
	c := p.onAgent(&cobra.Command{
		Use:   "add AGENT",
		Short: "Enrol a registered machine: the verifier watches it from now on",
		Long: `Enrol a registered machine: the verifier watches it from now on.

The machine's identity is fetched from the registrar and checked once more here:
the id is the hash of the EK, and AK and transport key are of the templates that
Quicklime makes. An EK without a trusted certificate could be a TPM emulator's and
needs --accept-ek with the agent's whole id.

Exit codes: 0 done, 1 failed, 2 usage; 3 the machine is enrolled and with --wait not
in the state waited for in time.`,
	}, &reach{registrar: true, verifier: true}, func(ctx context.Context, s servers, id string) error { return p.add(ctx, s, id, a) })
	f := c.Flags()
	f.StringVar(&a.policy, "policy", "", "judge it under the runtime policy `NAME`")
	f.StringVar(&a.bootPolicy, "boot-policy", "", "judge its boot under the boot policy `NAME`")
	f.StringVar(&a.tpmPolicy, "tpm-policy", "", helpTPMPolicy)
	f.StringVar(&a.label, "label", "", "call it `LABEL`, not what the registrar calls it")
	f.StringVar(&a.lowestBank, "lowest-bank", pcr.SHA256.String(), "the weakest PCR `BANK` whose quotes count: sha1, sha256, sha384 or sha512")
	f.StringVar(&a.acceptEK, "accept-ek", "", "accept this EK, named by its `HASH`, without a trusted certificate")
	f.StringVar(&a.payload, "payload", "", "send it the file or directory `PATH` as well, as \"payload send\" does")
	a.cert.flags(c)
	a.wait.flags(c)
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if err := a.cert.check(c); err != nil {
			return err
		}
		return a.wait.check(c)
	}
	return c
}

// helpTPMPolicy describes the flag with a TPM policy.
const helpTPMPolicy = "compare single PCRs with Keylime's tpm_policy, `JSON` or a file with it; - is standard input"

// add enrols the machine id.
func (p *program) add(ctx context.Context, s servers, id string, a addition) error {
	m, err := s.registrar.Machine(ctx, id)
	if isCode(err, rest.CodeNotFound) {
		return daemon.WithHint(err, `the machine registers with "quicklime-agent join"; "%s join-token create" makes the token for that`, name)
	}
	if err != nil {
		return err
	}
	e, err := a.enrolment(m, id)
	if err != nil {
		return err
	}
	gift, err := p.gift(ctx, s, id, a)
	if err != nil {
		return err
	}
	pkg, err := p.certificateGift(ctx, s, id, a)
	if err != nil {
		return err
	}
	if a.tpmPolicy != "" {
		if e.TPMPolicy, err = p.tpmPolicy(a.tpmPolicy); err != nil {
			return err
		}
	}
	agent, err := s.verifier.Enrol(ctx, e)
	if err != nil {
		return err
	}
	p.remarks(m, e)
	if err := p.give(ctx, s, id, gift); err != nil {
		return err
	}
	if err := p.giveCertificate(ctx, s, a, pkg); err != nil {
		return err
	}
	if a.wait.state != "" {
		if agent, err = p.await(ctx, s, agent, a.wait); err != nil {
			return err
		}
	}
	return p.show(agent, func(w io.Writer) {
		fmt.Fprintf(w, "enrolled %s  %s: %s\n", short(agent.ID), printable(agent.Label), printable(stateWords(agent)))
	})
}

// enrolment checks what the registrar says of the machine and makes the record
// of it. Whoever asked for id gets id, whatever the registrar answers.
func (a addition) enrolment(m rest.Machine, id string) (rest.Enrolment, error) {
	bank, err := pcr.ParseBank(a.lowestBank)
	if err != nil {
		return rest.Enrolment{}, daemon.WithHint(err, "sha256 is the usual --lowest-bank")
	}
	if _, err := identity.Check(id, m.EKPublic, m.AKPublic, m.Transport); err != nil {
		return rest.Enrolment{}, daemon.WithHint(fmt.Errorf("what the registrar says of %s does not hold: %w", short(id), err),
			"do not enrol it; let the machine register again, and look at the registrar if that does not help")
	}
	if err := acceptEK(m, id, a.acceptEK); err != nil {
		return rest.Enrolment{}, err
	}
	e := rest.Enrolment{
		ID: id, Label: m.Label, EKPublic: m.EKPublic, AKPublic: m.AKPublic, Transport: m.Transport,
		LowestBank: bank, Policy: a.policy, BootPolicy: a.bootPolicy,
	}
	if a.label != "" {
		e.Label = a.label
	}
	return e, nil
}

// acceptEK refuses an EK that neither a certificate nor the operator vouches for
// (I23). An --accept-ek that names another EK is a mistake in any case.
func acceptEK(m rest.Machine, id, accepted string) error {
	if accepted != "" && accepted != id {
		return daemon.WithHint(fmt.Errorf("--accept-ek names %s, and the EK of %s is %s", accepted, short(id), id),
			"read the EK's hash on the machine itself and repeat it whole")
	}
	if m.EKTrusted || accepted == id {
		return nil
	}
	return daemon.WithHint(fmt.Errorf("nothing vouches for the EK of %s: its certificate is missing or chains to no anchor of the registrar", short(id)),
		"if the machine itself shows this hash, accept it with --accept-ek %s", id)
}

// remarks tells what an operator may not expect of the enrolment.
func (p *program) remarks(m rest.Machine, e rest.Enrolment) {
	if e.Policy == "" {
		p.warn(`runtime policy: %s; no file is judged until "%s agent update --policy" names one`, wire.NotEvaluated, name)
	}
	if m.Offered != nil {
		p.warn(`the machine came with other keys than those enrolled; "%s agent rebind" shows them`, name)
	}
}
