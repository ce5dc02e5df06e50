package tenant

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/daemon"
)

// policy is the noun of runtime policies.
func (p *program) policy() *cobra.Command {
	return p.noun(&cobra.Command{
		Use:   "policy",
		Short: "Runtime policies: the files that machines may run",
		Long: `Runtime policies say which files machines may run, by digest. Their format is
Keylime's JSON, version 1.`,
	}, append(p.runtimePolicies().commands(),
		p.policyCreate(), p.policyConvert(), p.policySign(runtimeKind), p.policyVerify(runtimeKind), policyValidate(p, runtimeKind, summaryOf), p.policyDiff(), p.policyTest())...)
}

func compile(file string, text []byte) (*policy.Policy, error) {
	return compileBy(policy.Parse, "policy", "policy", file, text)
}

// compileBy compiles a policy, and says of one that does not compile everything that is
// wrong with it, a line each.
func compileBy[P any](parse func([]byte) (P, error), word, noun, file string, text []byte) (compiled P, err error) {
	if dsse.Enveloped(text) {
		return compiled, wantedInside(noun, file)
	}
	compiled, err = parse(text)
	if problems, ok := errors.AsType[*policy.Error](err); ok {
		return compiled, daemon.WithHint(fmt.Errorf("%s is not a %s that can be used:\n%s", file, word, words(problems)), "correct it at the places named")
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
