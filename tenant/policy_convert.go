package tenant

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"quicklime/tenant/refvalues"
	"quicklime/verifier/policy"
	"quicklime/wire/daemon"
)

// converted is the JSON of "policy convert -o".
type converted struct {
	created
	From    string   `json:"from"` // what the input was
	Changes []string `json:"changes"`
	More    int      `json:"more_changes,omitempty"` // beside those
}

func (p *program) policyConvert() *cobra.Command {
	var excludes, out string
	c := &cobra.Command{
		Use:   "convert INPUT",
		Short: "Make a policy of an allowlist or policy of Keylime's; INPUT - is standard input",
		Long: `Make a policy of what Keylime's tools have written, and print it or write it to a file.
INPUT is a flat allowlist (lines of "digest path" and "digest %keyring:name"), a JSON
allowlist, or a runtime policy; --excludes is an exclude file with an expression a line.

Keylime is content when an exclusion matches the beginning of a path; ours match it as a
whole. So ^/tmp/ becomes ^/tmp/.*, and each such change is told. Do not convert a policy
that was written for Quicklime.

  quicklime-tenant policy convert allowlist.txt --excludes exclude.txt -o web.json`,
		Args: exactly(1, "INPUT"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && excludes == "-" {
				return usage(c, "INPUT and --excludes cannot both be standard input")
			}
			return p.convert(args[0], excludes, out)
		},
	}
	c.Flags().StringVar(&excludes, "excludes", "", "add the exclusions in `FILE`")
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, not to standard output")
	return c
}

func (p *program) convert(input, excludes, out string) error {
	text, err := p.readFile(input, policy.MaxPolicy)
	if err != nil {
		return err
	}
	var rules []byte
	if excludes != "" {
		if rules, err = p.readFile(excludes, refvalues.MaxExcludeFile); err != nil {
			return err
		}
	}
	made, err := refvalues.Convert(refvalues.Source{Name: input, Text: text}, refvalues.Source{Name: excludes, Text: rules}, p.now())
	var problems *policy.Error
	if errors.As(err, &problems) {
		return daemon.WithHint(fmt.Errorf("%s cannot be converted:\n%s", input, words(problems)), "correct it at the places named")
	}
	if err != nil {
		return err
	}
	compiled, err := compile("the outcome", made.Text)
	if err != nil {
		return err
	}
	return p.showConverted(made, compiled, out)
}

func (p *program) showConverted(made refvalues.Converted, compiled *policy.Policy, out string) error {
	c := converted{created{out, compiled.Digest(), compiled.Paths(), compiled.Excludes()}, string(made.Form), []string{}, made.More}
	for _, change := range made.Changes {
		c.Changes = append(c.Changes, change.String())
		p.say("%s", change)
	}
	if made.More > 0 {
		p.say("and %s", counted(made.More, "change more", "changes more"))
	}
	p.say("%s: %s", made.Form, extent(c.Paths, c.Excludes))
	for _, w := range compiled.Warnings() {
		p.warn("%s", w)
	}
	if out == "" {
		_, err := p.stdout.Write(made.Text)
		return err
	}
	if err := os.WriteFile(out, made.Text, 0o644); err != nil {
		return err
	}
	return p.show(c, func(io.Writer) { p.say("wrote %s", out) })
}
