package tenant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// helpPolicy says what commands take for a policy that may be anywhere.
const helpPolicy = `A policy is a file, "-" for standard input, or the name of one at the verifier. A
file of that name counts first; @NAME is always one at the verifier.`

// opened is a compiled policy, and what is known of who signed it.
type opened struct {
	*policy.Policy
	signature signature
}

// policyAt reads and compiles the policy that arg names, a file or one of the
// verifier's, and has k check its signature.
func (p *program) policyAt(ctx context.Context, arg string, k *checker) (opened, error) {
	name, named := strings.CutPrefix(arg, "@")
	switch {
	case named && !wire.ValidName(name):
		return opened{}, &usageError{arg + " is not @ and the name of a policy", `"quicklime-tenant policy list" shows the names`}
	case named:
		return p.compileStored(ctx, name, k)
	case !p.isFile(arg) && wire.ValidName(arg):
		o, err := p.compileStored(ctx, arg, k)
		if err != nil && describe(err).Hint == "" {
			err = daemon.WithHint(err, "there is no file %s here, so it was looked for at the verifier", arg)
		}
		return o, err
	}
	text, err := p.readFile(arg, dsse.MaxEnvelope)
	if err != nil {
		return opened{}, err
	}
	return compileOpened(arg, text, k)
}

// compileOpened compiles the policy in a text, signed or not.
func compileOpened(name string, text []byte, k *checker) (opened, error) {
	inside, s, err := k.open(dsse.RuntimePolicy, text)
	if err != nil {
		return opened{}, fmt.Errorf("%s: %w", name, err)
	}
	if s.State != unsigned {
		name = "the policy in " + name
	}
	compiled, err := compile(name, inside)
	return opened{compiled, s}, err
}

// compileStored compiles a policy of the verifier's. What the verifier found of its
// signature counts if k is nil; else k checks it again.
func (p *program) compileStored(ctx context.Context, name string, k *checker) (opened, error) {
	r, err := p.runtimePolicies().get(ctx, name)
	if err != nil {
		return opened{}, err
	}
	if k != nil && len(r.SignedBy) > 0 {
		e, err := p.runtimePolicies().getSigned(ctx, name)
		if err != nil {
			return opened{}, err
		}
		return compileOpened("policy "+name, []byte(e.Envelope), k)
	}
	compiled, err := compile("policy "+name, []byte(r.Text))
	s := signature{State: unsigned}
	if len(r.SignedBy) > 0 {
		s = signature{State: byVerifier, Verified: &r.UpdatedAt}
		for _, by := range r.SignedBy {
			s.SignedBy = append(s.SignedBy, signedName{by.KeyID, by.Subject})
		}
	}
	return opened{compiled, s}, err
}

// isFile reports whether arg names something in this machine's file system, or
// standard input.
func (p *program) isFile(arg string) bool {
	_, err := os.Stat(arg)
	return arg == "-" || !errors.Is(err, fs.ErrNotExist)
}
