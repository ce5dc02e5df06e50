package tenant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

func (p *program) policyShow() *cobra.Command {
	signed := false
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print a policy's text, to the byte unless that is a terminal",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(c, args[0]); err != nil {
				return err
			}
			if signed {
				return p.showSigned(c.Context(), args[0])
			}
			r, err := p.stored(c.Context(), args[0])
			if err != nil {
				return err
			}
			if !p.json {
				p.saySigners(r)
			}
			return p.show(r, func(w io.Writer) { writeText(w, []byte(r.Text)) })
		},
	}
	c.Flags().BoolVar(&signed, "signed", false, "print the signed policy as it came, for \"policy verify\"")
	return c
}

// showSigned prints the envelope in which a policy came.
func (p *program) showSigned(ctx context.Context, policy string) error {
	r, err := p.storedEnvelope(ctx, policy)
	if err != nil {
		return err
	}
	return p.show(r, func(w io.Writer) { writeText(w, []byte(r.Envelope)) })
}

// storedEnvelope returns a policy of the verifier's in the envelope in which it came.
func (p *program) storedEnvelope(ctx context.Context, policy string) (rest.RuntimePolicy, error) {
	s, err := p.connect()
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	r, err := s.verifier.SignedPolicy(ctx, policy)
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	e, err := dsse.Parse([]byte(r.Envelope))
	if err != nil {
		return rest.RuntimePolicy{}, fmt.Errorf("policy %s at the verifier: %w", policy, err)
	}
	if sum := sha256.Sum256(e.Unverified()); hex.EncodeToString(sum[:]) != r.Digest {
		return rest.RuntimePolicy{}, fmt.Errorf("the signed policy that came does not have the digest of policy %s, sha256:%s", policy, r.Digest)
	}
	return r, nil
}

// saySigners tells who signed a policy, and when the verifier found so.
func (p *program) saySigners(r rest.RuntimePolicy) {
	for _, s := range r.SignedBy {
		p.say("signed by %s; verified %s", signer(s), p.moment(r.UpdatedAt))
	}
}

// stored returns a policy of the verifier's, with its text.
func (p *program) stored(ctx context.Context, policy string) (rest.RuntimePolicy, error) {
	s, err := p.connect()
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	r, err := s.verifier.Policy(ctx, policy)
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	if sum := sha256.Sum256([]byte(r.Text)); hex.EncodeToString(sum[:]) != r.Digest {
		return rest.RuntimePolicy{}, fmt.Errorf("the text that came does not have the digest of policy %s, sha256:%s", policy, r.Digest)
	}
	return r, nil
}

// writeText writes a policy's text with a line break at its end.
func writeText(w io.Writer, text []byte) {
	if isTerminal(w) {
		text = printableJSON(text)
	}
	w.Write(text)
	if !bytes.HasSuffix(text, []byte("\n")) {
		fmt.Fprintln(w)
	}
}
