package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"quicklime/tenant/client"
	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// storedPolicies has the commands about the verifier's policies of one kind. T is what
// the verifier says of one, and P what its text compiles to.
type storedPolicies[T, P any] struct {
	p *program
	policyKind
	at     func(*client.Verifier) client.Policies[T]
	common func(*T) *rest.Policy
	parse  func(name string, text []byte) (P, error)
	says   func(T) string // in short

	heading []string // of what a list shows of this kind alone
	row     func(T) []string
}

func (p *program) runtimePolicies() storedPolicies[rest.RuntimePolicy, *policy.Policy] {
	return storedPolicies[rest.RuntimePolicy, *policy.Policy]{
		p: p, policyKind: runtimeKind, at: (*client.Verifier).RuntimePolicies, common: (*rest.RuntimePolicy).Common, parse: compile,
		says:    func(r rest.RuntimePolicy) string { return extent(r.Paths, r.Excludes) },
		heading: []string{"PATHS", "EXCLUSIONS"},
		row:     func(r rest.RuntimePolicy) []string { return []string{fmt.Sprint(r.Paths), fmt.Sprint(r.Excludes)} },
	}
}

func (p *program) bootPolicies() storedPolicies[rest.BootPolicy, *bootpolicy.Policy] {
	return storedPolicies[rest.BootPolicy, *bootpolicy.Policy]{
		p: p, policyKind: bootKind, at: (*client.Verifier).BootPolicies, common: (*rest.BootPolicy).Common, parse: compileBoot,
		says:    func(r rest.BootPolicy) string { return bootExtent(r.SecureBoot, r.Firmwares, r.Kernels) },
		heading: []string{"SECURE BOOT", "FIRMWARES", "KERNELS"},
		row: func(r rest.BootPolicy) []string {
			return []string{onOff(r.SecureBoot), fmt.Sprint(r.Firmwares), fmt.Sprint(r.Kernels)}
		},
	}
}

// commands are those that work on what the verifier has.
func (s storedPolicies[T, P]) commands() []*cobra.Command {
	return []*cobra.Command{s.add(), s.list(), s.show(), s.update(), s.delete()}
}

// policies are those at the verifier.
func (s storedPolicies[T, P]) policies() (client.Policies[T], error) {
	c, err := s.p.connect()
	if err != nil {
		return client.Policies[T]{}, err
	}
	return s.at(c.verifier), nil
}

// checkName refuses a name that no policy can have, before it becomes part of a
// URL (I03).
func checkName(c *cobra.Command, s string) error {
	if wire.ValidName(s) {
		return nil
	}
	return usage(c, "%q cannot name a policy: 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit", s)
}

// get returns a policy with its text.
func (s storedPolicies[T, P]) get(ctx context.Context, name string) (r T, err error) {
	all, err := s.policies()
	if err != nil {
		return r, err
	}
	if r, err = all.Get(ctx, name); err != nil {
		return r, err
	}
	p := s.common(&r)
	return r, s.sameDigest("text", p, []byte(p.Text))
}

// getSigned returns a policy in its envelope.
func (s storedPolicies[T, P]) getSigned(ctx context.Context, name string) (r T, err error) {
	all, err := s.policies()
	if err != nil {
		return r, err
	}
	if r, err = all.GetSigned(ctx, name); err != nil {
		return r, err
	}
	p := s.common(&r)
	e, err := dsse.Parse(s.of, []byte(p.Envelope))
	if err != nil {
		return r, fmt.Errorf("%s %s at the verifier: %w", s.word, name, err)
	}
	return r, s.sameDigest("signed policy", p, e.Unverified())
}

// sameDigest refuses a text that came and is not the one it is said to be.
func (s storedPolicies[T, P]) sameDigest(what string, p *rest.Policy, text []byte) error {
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != p.Digest {
		return fmt.Errorf("the %s that came does not have the digest of %s %s, sha256:%s", what, s.word, p.Name, p.Digest)
	}
	return nil
}

// upload reads a policy from a file, gives it to the verifier with send and returns
// what was stored.
func (s storedPolicies[T, P]) upload(c *cobra.Command, name, file string, send func(client.Policies[T], context.Context, string, []byte) (T, error)) (r T, err error) {
	if err := checkName(c, name); err != nil {
		return r, err
	}
	text, err := s.p.readPolicy(s.policyKind, file)
	if err != nil {
		return r, err
	}
	all, err := s.policies()
	if err != nil {
		return r, err
	}
	return send(all, c.Context(), name, text)
}

// answer answers with a policy that was stored.
func (s storedPolicies[T, P]) answer(done string, r T) error {
	p := s.common(&r)
	return s.p.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: %s, sha256:%s\n", done, printable(p.Name), s.says(r), printable(p.Digest))
		for _, by := range p.SignedBy {
			fmt.Fprintf(w, "signed by %s\n", signer(by))
		}
	})
}

// signer shows one who signed a policy.
func signer(s rest.Signer) string {
	return printable(dsse.Signer{KeyID: s.KeyID, Subject: s.Subject}.String())
}
