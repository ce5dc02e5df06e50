package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/tenant/client"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/rest"
)

// policy is the noun of runtime policies.
func (p *program) policy() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "policy",
		Short: "Runtime policies: the files that machines may run",
		Long: `Runtime policies say which files machines may run, by digest. Their format is
Keylime's JSON, version 1.`,
	}, p.policyCreate(), p.policyConvert(), p.policySign(), p.policyVerify(), p.policyValidate(), p.policyDiff(), p.policyTest(),
		p.policyAdd(), p.policyList(), p.policyShow(), p.policyUpdate(), p.policyDelete())
}

// checkName refuses a name that no policy can have, before it becomes part of a
// URL (I03).
func checkName(c *cobra.Command, s string) error {
	if wire.ValidName(s) {
		return nil
	}
	return usage(c, "%q cannot name a policy: 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit", s)
}

// readPolicy reads and compiles the policy in a file, signed or not, and tells what
// in it does not do what its author may think. It returns the file's text.
func (p *program) readPolicy(file string) ([]byte, error) {
	text, err := p.readFile(file, dsse.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	inside := text
	if dsse.Enveloped(text) {
		e, err := dsse.Parse(text)
		if err != nil {
			return nil, malformed(file, text, err)
		}
		inside = e.Unverified() // that it is signed as it must be is the verifier's to say
	}
	return text, p.lint(file, inside)
}

// lint compiles a policy and tells what in it does not do what its author may think.
func (p *program) lint(file string, text []byte) error {
	compiled, err := compile(file, text)
	if err != nil {
		return err
	}
	for _, w := range compiled.Warnings() {
		p.warn("%s: %s", file, w)
	}
	for _, place := range compiled.Unknown() {
		p.warn("%s: %s is no part of the format; it is kept and means nothing", file, place)
	}
	return nil
}

// compile says of a policy that does not compile everything that is wrong with
// it, a line each.
func compile(file string, text []byte) (*policy.Policy, error) {
	if dsse.Enveloped(text) {
		return nil, daemon.WithHint(fmt.Errorf("%s is a signed policy, and what is wanted is the policy in it", file), "take it out with %q", name+" policy verify FILE --key KEY -o OUT")
	}
	compiled, err := policy.Parse(text)
	var problems *policy.Error
	if errors.As(err, &problems) {
		return nil, daemon.WithHint(fmt.Errorf("%s is not a policy that can be used:\n%s", file, words(problems)), "correct it at the places named")
	}
	return compiled, err
}

// words are the problems of a policy with their lines, one a line.
func words(e *policy.Error) string {
	var b strings.Builder
	for _, each := range e.Problems {
		fmt.Fprintln(&b, problem{each.Line, each.Place, each.Text})
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", e.More)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// extent is how much a policy says.
func extent(paths, excludes int) string {
	return counted(paths, "path", "paths") + ", " + counted(excludes, "exclusion", "exclusions")
}

// upload reads a policy from a file, gives it to the verifier with send and
// returns what was stored.
func (p *program) upload(c *cobra.Command, name, file string, send func(*client.Verifier, context.Context, string, []byte) (rest.RuntimePolicy, error)) (rest.RuntimePolicy, error) {
	if err := checkName(c, name); err != nil {
		return rest.RuntimePolicy{}, err
	}
	text, err := p.readPolicy(file)
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	s, err := p.connect()
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	return send(s.verifier, c.Context(), name, text)
}

// showPolicy answers with a policy that was stored.
func (p *program) showPolicy(done string, r rest.RuntimePolicy) error {
	return p.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: %s, sha256:%s\n", done, printable(r.Name), extent(r.Paths, r.Excludes), printable(r.Digest))
		for _, s := range r.SignedBy {
			fmt.Fprintf(w, "signed by %s\n", signer(s))
		}
	})
}

// signer shows one who signed a policy.
func signer(s rest.Signer) string {
	return printable(dsse.Signer{KeyID: s.KeyID, Subject: s.Subject}.String())
}
