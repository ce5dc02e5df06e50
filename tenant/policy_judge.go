package tenant

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

const (
	shownGroups   = 30 // groups of failures, a screen
	shownExamples = 3  // entries of a group
)

// noVerdict is what a test does not say.
const noVerdict = "this is no verdict: there is no quote, so that the list may be anybody's, and the boot is not looked at"

// tested is the JSON of "policy test".
type tested struct {
	Policy    string          `json:"policy"` // SHA-256 of its text
	Signature signature       `json:"signature"`
	Verdict   string          `json:"verdict"`
	Note      string          `json:"note"`
	Counts    appraise.Counts `json:"counts"`
	Groups    []*failureGroup `json:"groups"`
	Failures  []wire.Failure  `json:"failures"` // all of them
}

// failureGroup is the failures of one id in one directory.
type failureGroup struct {
	ID        wire.FailureID `json:"id"`
	Directory string         `json:"directory,omitempty"` // or the name of a buffer; empty: about no path
	Count     int            `json:"count"`
	Examples  []wire.Failure `json:"examples"` // the first of them
}

func (p *program) policyTest() *cobra.Command {
	all := false
	var t trust
	c := &cobra.Command{
		Use:   "test POLICY LIST",
		Short: "Show what in a measurement list a policy would fail",
		Long: `Show what in a measurement list a policy would fail, without asking any machine.
LIST is the kernel's binary list, plain or gzip; "-" is standard input.

` + helpPolicy + `

` + helpTrust + `

  ssh web-17 sudo cat /sys/kernel/security/ima/binary_runtime_measurements |
      quicklime-tenant policy test web-new.json -

It is no verdict: without a quote the list may be anybody's, and what ties it to a
boot, boot_aggregate, is not compared.

Exit codes: 0 nothing would fail, 1 it could not be found out, 2 usage, 3 something
would fail.`,
		Args: exactly(2, "POLICY and LIST"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usage(c, "only one of policy and list can come from standard input")
			}
			k, err := p.checker(c, t)
			if err != nil {
				return err
			}
			judged, err := p.runtimePolicies().open(c.Context(), args[0], k)
			if err != nil {
				return err
			}
			return p.test(judged, args[0], args[1], all)
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&all, "all", false, "show every group of failures")
	return c
}

// test judges the list in a file.
func (p *program) test(judged opened[*policy.Policy], name, file string, all bool) error {
	if judged.policy.Empty() {
		return daemon.WithHint(fmt.Errorf("%s %s", name, saysNothing), "give it digests, exclusions, keys or denials")
	}
	list, err := p.readList(file)
	if err != nil {
		return err
	}
	t := tested{Policy: judged.policy.Digest(), Signature: judged.signature, Verdict: "none", Note: noVerdict, Failures: []wire.Failure{}}
	groups := grouping{}
	t.Counts, err = appraise.Survey(list, judged.policy, func(f wire.Failure) {
		groups.add(f)
		if p.json {
			t.Failures = append(t.Failures, f)
		}
	})
	if err != nil {
		return daemon.WithHint(fmt.Errorf("%s: %w", file, err), "LIST is "+listHint)
	}
	t.Groups = groups.bySize()
	p.warn("%s", noVerdict)
	if err := p.show(t, func(w io.Writer) { p.writeTest(w, t, all) }); err != nil {
		return err
	}
	if len(t.Groups) > 0 {
		return errOtherState
	}
	return nil
}

type grouping map[[2]string]*failureGroup

func (g grouping) add(f wire.Failure) {
	key := [2]string{string(f.ID), directory(f.Path)}
	group := g[key]
	if group == nil {
		group = &failureGroup{ID: f.ID, Directory: key[1]}
		g[key] = group
	}
	if group.Count++; group.Count <= shownExamples {
		group.Examples = append(group.Examples, f)
	}
}

// directory returns the directory of a path as a failure shows it; what is no path
// is its own.
func directory(shown string) string {
	name := shown
	if unquoted, err := strconv.Unquote(shown); err == nil {
		name = unquoted
	}
	if !strings.HasPrefix(name, "/") {
		return shown
	}
	return appraise.Path([]byte(path.Dir(name)))
}

// bySize returns the groups, the largest first.
func (g grouping) bySize() []*failureGroup {
	all := make([]*failureGroup, 0, len(g))
	for _, group := range g {
		all = append(all, group)
	}
	slices.SortFunc(all, func(a, b *failureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Directory, b.Directory))
	})
	return all
}

func (p *program) writeTest(w io.Writer, t tested, all bool) {
	p.writeSignature(w, "signature of the policy", t.Signature)
	c := t.Counts
	fmt.Fprintf(w, "%s: %d would fail; %d listed, %d excluded, %d signed, %s, %s, %s\n", counted(c.Entries, "entry", "entries"), c.Failed,
		c.Listed, c.Excluded, c.Signed, counted(c.Buffers, "key or buffer", "keys and buffers"),
		counted(c.Violations, "violation", "violations")+" accepted", counted(c.Aggregates, "boot aggregate", "boot aggregates"))
	if len(t.Groups) == 0 {
		return
	}
	shown := t.Groups
	if !all {
		shown = shown[:min(shownGroups, len(shown))]
	}
	fmt.Fprintln(w)
	rows := &table{heading: []string{"COUNT", "FAILURE", "WHERE", "EXAMPLES"}}
	for _, g := range shown {
		rows.add(plain(fmt.Sprint(g.Count), string(g.ID), g.Directory, g.examples())...)
	}
	rows.write(w, p.coloured(w))
	if more := len(t.Groups) - len(shown); more > 0 {
		fmt.Fprintf(w, "and %s; --all shows them\n", counted(more, "group more", "groups more"))
	}
	fmt.Fprintln(w, "\n--json has every failure with its digest and what was expected")
}

// examples names the first entries of a group: "3 bash, 17 sh, …".
func (g *failureGroup) examples() string {
	var names []string
	for _, f := range g.Examples {
		name := f.Path
		if g.Directory != "" && g.Directory != f.Path {
			name = strings.TrimPrefix(strings.TrimPrefix(f.Path, g.Directory), "/")
		}
		if f.Entry != nil {
			name = strings.TrimSpace(fmt.Sprintf("entry %d %s", *f.Entry, name))
		}
		names = append(names, name)
	}
	if g.Count > len(names) {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
