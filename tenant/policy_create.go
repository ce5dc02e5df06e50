package tenant

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"quicklime/tenant/refvalues"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// A recipe says what a policy is made of.
type recipe struct {
	base     string   // a policy to extend; empty: a new one
	lists    []string // measurement lists of machines known to be good
	excludes []string
	digests  []string // PATH=DIGEST
	files    []string // to hash
	keys     []string // files of keys that vouch for files
	accept   string   // what violations mean; empty: what they mean in the base
	out      string   // empty: standard output

	noKeyrings, noBuffers bool // leave these of the lists out
}

// created is the JSON of "policy create -o".
type created struct {
	File     string `json:"file"`
	Digest   string `json:"digest"`
	Paths    int    `json:"paths"`
	Excludes int    `json:"excludes"`
}

func (p *program) policyCreate() *cobra.Command {
	var r recipe
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a policy from what a good machine measured",
		Long: `Make a policy from what a good machine measured, and print it or write it to a
file. Nothing is sent to the verifier; "policy add" and "policy update" do that.

  quicklime-tenant policy create --from-list /sys/kernel/security/ima/binary_runtime_measurements \
      --exclude '/tmp/.*' -o web.json

Of a list, digests of files, keys loaded into keyrings and other buffers are taken;
what device-mapper devices did is for ima.dm_policy, which people write.

  quicklime-tenant policy create --base web.json --add /usr/local/bin/new-tool -o web.json`,
		Args: exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error { return p.create(r) },
	}
	f := c.Flags()
	f.StringArrayVar(&r.lists, "from-list", nil, "allow what the measurement list in `FILE` holds, plain or gzip; repeatable")
	f.StringArrayVar(&r.excludes, "exclude", nil, "do not judge paths that `RE` matches as a whole; repeatable")
	f.StringArrayVar(&r.digests, "add-file", nil, "allow `PATH=DIGEST`, PATH as \"agent status\" shows it, the digest as sha256:hex or hex; repeatable")
	f.StringArrayVar(&r.files, "add", nil, "allow the file at `PATH` as it is on this machine; repeatable")
	f.StringArrayVar(&r.keys, "verification-key", nil, "allow every file with a good signature by the key in `FILE`, a certificate or public key, PEM or DER; repeatable")
	f.BoolVar(&r.noKeyrings, "no-keyrings", false, "leave out the keys that the lists show being loaded into keyrings")
	f.BoolVar(&r.noBuffers, "no-buffers", false, "leave out other buffers that the lists hold, such as kexec-cmdline")
	f.StringVar(&r.accept, "violations", "", "`WHAT` a violation in a list means: fail, warn or ignore; fail if nobody says")
	f.StringVar(&r.base, "base", "", "extend the policy in `FILE`")
	f.StringVarP(&r.out, "output", "o", "", "write to `FILE`, not to standard output")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		switch violations := policy.Violations(r.accept); {
		case len(r.lists)+len(r.excludes)+len(r.digests)+len(r.files)+len(r.keys) == 0 && violations == "":
			return usage(c, "nothing to make a policy of: name --from-list, --add, --add-file, --verification-key, --exclude or --violations")
		case !slices.Contains([]policy.Violations{"", policy.ViolationsFail, policy.ViolationsWarn, policy.ViolationsIgnore}, violations):
			return usage(c, "--violations %q is none of fail, warn, ignore", r.accept)
		}
		return nil
	}
	return c
}

// create makes the policy and puts it where the operator wants it.
func (p *program) create(r recipe) error {
	text, violations, err := p.cook(r)
	if err != nil {
		return err
	}
	made, err := compile("the outcome", text)
	if err != nil {
		return err
	}
	p.say("policy: %s", extent(made.Paths(), made.Excludes()))
	if made.Empty() {
		p.warn("the policy %s", saysNothing)
	}
	if violations > 0 && made.Violations() == policy.ViolationsFail {
		p.warn("%s: a machine that has any is untrusted under this policy; --violations warn makes one that tolerates them",
			counted(violations, "violation", "violations"))
	}
	if r.out == "" {
		_, err := p.stdout.Write(text)
		return err
	}
	if err := os.WriteFile(r.out, text, 0o644); err != nil {
		return err
	}
	c := created{File: r.out, Digest: made.Digest(), Paths: made.Paths(), Excludes: made.Excludes()}
	return p.show(c, func(io.Writer) { p.say("wrote %s", r.out) })
}

// cook adds each ingredient to the base, and counts the violations in the lists.
func (p *program) cook(r recipe) (text []byte, violations int, err error) {
	if text, err = p.base(r.base); err != nil {
		return nil, 0, err
	}
	for _, file := range r.lists {
		v, report, err := p.fromList(file, r)
		if err != nil {
			return nil, 0, err
		}
		if text, err = refvalues.Merge(text, v, p.now()); err != nil {
			return nil, 0, err
		}
		violations += report.Violations
	}
	v, err := p.byHand(r)
	if err != nil {
		return nil, 0, err
	}
	text, err = refvalues.Merge(text, v, p.now())
	return text, violations, err
}

// base is the policy to start with.
func (p *program) base(file string) ([]byte, error) {
	if file == "" {
		return new(refvalues.Values).Policy(refvalues.Meta{Generator: refvalues.GeneratorCompatible})
	}
	text, err := p.readFile(file, policy.MaxPolicy)
	if err != nil {
		return nil, err
	}
	_, err = compile(file, text)
	return text, err
}

// fromList makes values from a measurement list and says what became of its
// entries.
func (p *program) fromList(file string, r recipe) (*refvalues.Values, refvalues.Report, error) {
	list, err := p.readList(file)
	if err != nil {
		return nil, refvalues.Report{}, err
	}
	v, report, err := refvalues.FromList(list, r.excludes)
	if err != nil {
		return nil, report, daemon.WithHint(fmt.Errorf("%s: %w", file, err), "--from-list takes "+listHint)
	}
	p.report(file, v, report, r)
	if r.noKeyrings {
		v.OmitKeyrings()
	}
	if r.noBuffers {
		v.OmitBuffers()
	}
	return v, report, nil
}

// taken says what was found of keys or buffers, by whose names they are listed.
func taken(n int, one string, names []string, omitted bool) string {
	switch {
	case n == 0:
		return ""
	case omitted:
		return ", " + counted(n, one, one+"s") + " left out"
	}
	return ", " + counted(n, one, one+"s") + " (" + some(names) + ")"
}

// listHint says what a measurement list is.
const listHint = "the binary list, /sys/kernel/security/ima/binary_runtime_measurements, of a little-endian machine, whole and of PCR 10"

// readList reads a measurement list, plain or gzip.
func (p *program) readList(file string) ([]byte, error) {
	b, err := p.readFile(file, wire.MaxList)
	if err != nil {
		return nil, err
	}
	return gunzip(b, file, wire.MaxList)
}

// report tells what the values do not hold.
func (p *program) report(file string, v *refvalues.Values, r refvalues.Report, asked recipe) {
	p.say("%s: %s: %s of %s, %d excluded, %s, %s%s%s", file, counted(r.Entries, "entry", "entries"),
		counted(r.Files, "file", "files"), counted(v.Paths(), "path", "paths"), r.Excluded, counted(r.Violations, "violation", "violations"),
		counted(r.BootAggregates, "boot aggregate", "boot aggregates"),
		taken(r.Keys, "key", v.Keyrings(), asked.noKeyrings), taken(r.Buffers, "buffer", v.Buffers(), asked.noBuffers))
	if r.DeviceEvents > 0 {
		p.warn("%s: %s not allowed by the policy: write rules for the devices in ima.dm_policy", file, counted(r.DeviceEvents, "device-mapper event is", "device-mapper events are"))
	}
	for _, u := range r.Unlisted {
		p.warn("%s: entry %d is not allowed by the policy: %s %s", file, u.Entry, u.Path, u.Why)
	}
	if more := r.UnlistedCount - len(r.Unlisted); more > 0 {
		p.warn("%s: and %s not allowed", file, counted(more, "entry more is", "entries more are"))
	}
}
