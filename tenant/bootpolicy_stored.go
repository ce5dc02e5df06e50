package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/tenant/client"
	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

func (p *program) bootPolicyAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME FILE",
		Short: "Give the verifier a boot policy; FILE - is standard input",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := p.uploadBoot(c, args[0], args[1], (*client.Verifier).AddBootPolicy)
			if err != nil {
				return err
			}
			return p.showBootPolicy("added", stored)
		},
	}
}

func (p *program) bootPolicyUpdate() *cobra.Command {
	return &cobra.Command{
		Use:   "update NAME FILE",
		Short: "Replace a boot policy; the boot of every machine under it is judged again",
		Args:  exactly(2, "NAME and FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			stored, err := p.uploadBoot(c, args[0], args[1], (*client.Verifier).UpdateBootPolicy)
			if err != nil {
				return err
			}
			p.say("%s judged again", counted(stored.Agents, "agent is", "agents are"))
			return p.showBootPolicy("updated", stored)
		},
	}
}

// uploadBoot reads a boot policy from a file, gives it to the verifier with send and
// returns what was stored.
func (p *program) uploadBoot(c *cobra.Command, name, file string, send func(*client.Verifier, context.Context, string, []byte) (rest.BootPolicy, error)) (rest.BootPolicy, error) {
	if err := checkName(c, name); err != nil {
		return rest.BootPolicy{}, err
	}
	text, err := p.readFile(file, bootpolicy.MaxReference)
	if err != nil {
		return rest.BootPolicy{}, err
	}
	compiled, err := compileBoot(file, text)
	if err != nil {
		return rest.BootPolicy{}, err
	}
	for _, w := range compiled.Warnings() {
		p.warn("%s: not judged: %s", file, w)
	}
	for _, place := range compiled.Unknown() {
		p.warn("%s: %s is no part of the format; it is kept and means nothing", file, place)
	}
	s, err := p.connect()
	if err != nil {
		return rest.BootPolicy{}, err
	}
	return send(s.verifier, c.Context(), name, text)
}

// bootWords are what a boot policy of the verifier's says in short.
func bootWords(r rest.BootPolicy) string {
	return fmt.Sprintf("Secure Boot %s, %s, %s", onOff(r.SecureBoot), counted(r.Firmwares, "firmware", "firmwares"), counted(r.Kernels, "kernel", "kernels"))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// showBootPolicy answers with a boot policy that was stored.
func (p *program) showBootPolicy(done string, r rest.BootPolicy) error {
	return p.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: %s, sha256:%s\n", done, printable(r.Name), bootWords(r), printable(r.Digest))
	})
}

func (p *program) bootPolicyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the verifier's boot policies",
		Args:  exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			l, err := s.verifier.BootPolicies(c.Context())
			if err != nil {
				return err
			}
			l.Policies = orEmpty(l.Policies)
			t := &table{heading: []string{"NAME", "SECURE BOOT", "FIRMWARES", "KERNELS", "AGENTS", "UPDATED", "SHA-256"}}
			for _, r := range l.Policies {
				t.add(plain(r.Name, onOff(r.SecureBoot), fmt.Sprint(r.Firmwares), fmt.Sprint(r.Kernels), fmt.Sprint(r.Agents), p.ago(r.UpdatedAt), short(r.Digest))...)
			}
			return p.showTable(l, t, fmt.Sprintf("the verifier has no boot policy yet; %q makes one, and %q brings it there", name+" boot-policy create", name+" boot-policy add"))
		},
	}
}

func (p *program) bootPolicyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print a boot policy's text, to the byte unless that is a terminal",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			r, err := s.verifier.BootPolicy(c.Context(), args[0])
			if err != nil {
				return err
			}
			if sum := sha256.Sum256([]byte(r.Text)); hex.EncodeToString(sum[:]) != r.Digest {
				return fmt.Errorf("the text that came does not have the digest of boot policy %s, sha256:%s", args[0], r.Digest)
			}
			return p.show(r, func(w io.Writer) { writeText(w, []byte(r.Text)) })
		},
	}
}

func (p *program) bootPolicyDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a boot policy that no machine is judged under",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			s, err := p.connect()
			if err != nil {
				return err
			}
			if err := s.verifier.DeleteBootPolicy(c.Context(), args[0]); err != nil {
				return err
			}
			return p.show(deletedPolicy{args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", args[0]) })
		},
	}
}

// tpmPolicy reads a TPM policy that is given as it is or by the name of a file.
func (p *program) tpmPolicy(given string) (rest.Text, error) {
	text := []byte(given)
	if given == "" || given[0] != '{' {
		var err error
		if text, err = p.readFile(given, pcrpolicy.MaxText); err != nil {
			return "", err
		}
	}
	_, err := pcrpolicy.Parse(text)
	var problems *policy.Error
	if errors.As(err, &problems) {
		return "", daemon.WithHint(fmt.Errorf("the TPM policy cannot be used:\n%s", words(problems)), `it is Keylime's tpm_policy, such as {"16": ["<hex>"]}, or a file with it`)
	}
	return rest.Text(text), err
}
