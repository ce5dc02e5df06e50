package tenant

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/daemon"
)

func (p *program) policyVerify() *cobra.Command {
	var keys, cas []string
	var at, out string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say who signed a policy, or that nobody did who is trusted; FILE - is standard input",
		Long: `Say who signed a policy, or that nobody did who is trusted: whose key or CA --key and
--ca name. What the signed policy itself carries is never enough.

  quicklime-tenant policy verify web.signed.json --key release.pub
  quicklime-tenant policy show web --signed | quicklime-tenant policy verify - --ca ca.crt --at 2026-11-27

Exit codes: 0 it is signed, 1 it is not, 2 usage.`,
		Args: exactly(1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(keys)+len(cas) == 0 {
				return usage(c, "name who is trusted: --key or --ca")
			}
			return p.verify(c, args[0], append(keys, cas...), at, out)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&keys, "key", nil, "trust the public keys, or the certificates of signers, in `FILE`; repeatable")
	f.StringArrayVar(&cas, "ca", nil, "trust the CA certificates in `FILE`; repeatable")
	f.StringVar(&at, "at", "", "certificates have to be valid at `TIME`, such as 2026-11-27 or 2026-11-27T12:00:00Z, not now")
	f.StringVarP(&out, "output", "o", "", "write the policy without its signatures to `FILE`")
	return c
}

func (p *program) verify(c *cobra.Command, file string, trusted []string, at, out string) error {
	when, err := p.momentOf(at)
	if err != nil {
		return usage(c, "--at %q is no time such as 2026-11-27 or 2026-11-27T12:00:00Z", at)
	}
	keys := new(dsse.Keys)
	for _, name := range trusted {
		pem, err := p.readFile(name, dsse.MaxKeyFile)
		if err != nil {
			return err
		}
		if err := keys.Add(pem); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	text, err := p.readFile(file, dsse.MaxEnvelope)
	if err != nil {
		return err
	}
	e, err := dsse.Parse(text)
	if err != nil {
		return daemon.WithHint(fmt.Errorf("%s: %w", file, err), "sign it with %q", name+" policy sign")
	}
	v, err := keys.Verify(e, when)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if out != "" {
		if err := os.WriteFile(out, v.Payload(), 0o644); err != nil {
			return err
		}
		p.say("wrote %s", out)
	}
	s := newSigned(file, v.Payload(), v.Signers()...)
	return p.show(s, func(w io.Writer) {
		for _, by := range v.Signers() {
			fmt.Fprintf(w, "signed by %s\n", printable(by.String()))
		}
		fmt.Fprintf(w, "policy sha256:%s\n", s.Digest)
	})
}

// momentOf reads a time that the operator named: a day, in UTC, or a second; empty is
// now.
func (p *program) momentOf(s string) (time.Time, error) {
	if s == "" {
		return p.now(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}
