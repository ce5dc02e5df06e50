package tenant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"quicklime/wire"
	"quicklime/wire/daemon"
)

// helpPolicy says what commands take for a policy that may be anywhere.
const helpPolicy = `A policy is a file, "-" for standard input, or the name of one at the verifier. A
file of that name counts first; @NAME is always one at the verifier.`

// opened is a compiled policy, and what is known of who signed it.
type opened[P any] struct {
	policy    P
	signature signature
}

// open reads and compiles the policy that arg names, a file or one of the verifier's, and
// has k check its signature.
func (s storedPolicies[T, P]) open(ctx context.Context, arg string, k *checker) (opened[P], error) {
	name, named := strings.CutPrefix(arg, "@")
	switch {
	case named && !wire.ValidName(name):
		return opened[P]{}, &usageError{arg + " is not @ and the name of a " + s.word, fmt.Sprintf("%q shows the names", s.command("list"))}
	case named:
		return s.openStored(ctx, name, k)
	case !s.p.isFile(arg) && wire.ValidName(arg):
		o, err := s.openStored(ctx, arg, k)
		if err != nil && describe(err).Hint == "" {
			err = daemon.WithHint(err, "there is no file %s here, so it was looked for at the verifier", arg)
		}
		return o, err
	}
	text, err := s.p.readFile(arg, s.maxSigned())
	if err != nil {
		return opened[P]{}, err
	}
	return s.openText(arg, text, k)
}

// openText compiles the policy in a text, signed or not.
func (s storedPolicies[T, P]) openText(name string, text []byte, k *checker) (o opened[P], err error) {
	inside, by, err := k.open(s.of, text)
	if err != nil {
		return o, fmt.Errorf("%s: %w", name, err)
	}
	if by.State != unsigned {
		name = "the policy in " + name
	}
	compiled, err := s.parse(name, inside)
	return opened[P]{compiled, by}, err
}

// openStored compiles a policy of the verifier's. What the verifier found of its
// signature counts if k is nil; else k checks it again.
func (s storedPolicies[T, P]) openStored(ctx context.Context, name string, k *checker) (o opened[P], err error) {
	r, err := s.get(ctx, name)
	if err != nil {
		return o, err
	}
	p := s.common(&r)
	if k != nil && len(p.SignedBy) > 0 {
		e, err := s.getSigned(ctx, name)
		if err != nil {
			return o, err
		}
		return s.openText(s.word+" "+name, []byte(s.common(&e).Envelope), k)
	}
	by := signature{State: unsigned}
	if len(p.SignedBy) > 0 {
		by = signature{State: byVerifier, Verified: &p.UpdatedAt}
		for _, each := range p.SignedBy {
			by.SignedBy = append(by.SignedBy, signedName{each.KeyID, each.Subject})
		}
	}
	compiled, err := s.parse(s.word+" "+name, []byte(p.Text))
	return opened[P]{compiled, by}, err
}

// isFile reports whether arg names something in this machine's file system, or
// standard input.
func (p *program) isFile(arg string) bool {
	_, err := os.Stat(arg)
	return arg == "-" || !errors.Is(err, fs.ErrNotExist)
}
