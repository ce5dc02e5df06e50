package tenant

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// helpPolicy says what commands take for a policy that may be anywhere.
const helpPolicy = `A policy is a file, "-" for standard input, or the name of one at the verifier. A
file of that name counts first; @NAME is always one at the verifier.`

// policyAt reads and compiles the policy that arg names, a file or one of the
// verifier's.
func (p *program) policyAt(ctx context.Context, arg string) (*policy.Policy, error) {
	name, named := strings.CutPrefix(arg, "@")
	switch {
	case named && !wire.ValidName(name):
		return nil, &usageError{arg + " is not @ and the name of a policy", `"quicklime-tenant policy list" shows the names`}
	case named:
		return p.compileStored(ctx, name)
	case !p.isFile(arg) && wire.ValidName(arg):
		compiled, err := p.compileStored(ctx, arg)
		if err != nil && describe(err).Hint == "" {
			err = daemon.WithHint(err, "there is no file %s here, so it was looked for at the verifier", arg)
		}
		return compiled, err
	}
	text, err := p.readFile(arg, policy.MaxPolicy)
	if err != nil {
		return nil, err
	}
	return compile(arg, text)
}

// compileStored compiles a policy of the verifier's.
func (p *program) compileStored(ctx context.Context, name string) (*policy.Policy, error) {
	stored, err := p.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	return compile("policy "+name, []byte(stored.Text))
}

// isFile reports whether arg names something in this machine's file system, or
// standard input.
func (p *program) isFile(arg string) bool {
	_, err := os.Stat(arg)
	return arg == "-" || !errors.Is(err, fs.ErrNotExist)
}
