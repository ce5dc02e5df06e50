package bootpolicy

import (
	"fmt"
	"slices"
	"strings"

	"quicklime/wire/pcr"
)

// Rule is one thing that a policy says.
type Rule struct {
	Member string `json:"member"` // of the reference state
	Value  string `json:"value"`
}

// Diff returns the rules of after that before does not have, and those of before
// that after does not have, each in the order of the members.
func Diff(before, after *Policy) (added, removed []Rule) {
	old, now := before.rules(), after.rules()
	return lacking(now, old), lacking(old, now)
}

// lacking are the rules that are not in from.
func lacking(rules, from []Rule) []Rule {
	there := map[Rule]bool{}
	for _, r := range from {
		there[r] = true
	}
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return there[r] })
}

// rules are all that the policy says.
func (p *Policy) rules() (all []Rule) {
	if p.named != "" {
		return []Rule{{"name", p.named}}
	}
	add := func(member string, values ...string) {
		for _, v := range values {
			all = append(all, Rule{member, v})
		}
	}
	add("has_secureboot", fmt.Sprint(p.secureBoot))
	for _, f := range p.firmware {
		add("scrtm_and_bios", f.scrtm.String()+", parts "+listText(f.blobs))
	}
	add("pk", p.pk.shown()...)
	add("kek", p.kek.shown()...)
	add("db", p.db.shown()...)
	add("dbx", p.dbx.shown()...)
	if p.vendor.named {
		add("vendor_db", "those listed alone")
	}
	add("vendor_db", p.vendor.shown()...)
	for _, d := range p.revocations {
		add("revocations", fmt.Sprintf("sha256:%x", d))
	}
	for _, l := range p.revocationLists {
		add("revocation_lists", l.String())
	}
	add("sbat", p.sbat.shown()...)
	add("mokdig", each(p.mok)...)
	add("mokxdig", each(p.mokX)...)
	if p.pinROMs {
		add("option_roms", "those listed alone")
	}
	add("option_roms", each(p.optionROMs)...)
	if p.judgesSections {
		add("systemd", "PCRs 11 to 13 are judged")
	}
	for i := range pcr.Count {
		add(fmt.Sprintf("events.%d", i), each(p.events[i])...)
		r, ok := p.runtime[i]
		if ok {
			add(fmt.Sprintf("runtime.%d", i), "those listed alone")
		}
		add(fmt.Sprintf("runtime.%d", i), r.shown()...)
	}
	for _, k := range p.kernels {
		add("kernels", k.String())
	}
	return all
}

// String shows a kernel in a line.
func (k kernel) String() string {
	var all []string
	for _, one := range []struct {
		name string
		of   digests
	}{
		{"shim", k.shim}, {"grub", k.grub}, {"kernel", k.kernel}, {"vmlinuz", k.vmlinuz}, {"initrd", k.initrd},
		{"load options", k.options}, {"PCR 11", k.sections},
	} {
		if one.of != nil {
			all = append(all, one.name+" "+one.of.String())
		}
	}
	for _, s := range k.image {
		all = append(all, "section "+quote(s.name)+" "+s.of.String())
	}
	if k.commandLine != nil {
		all = append(all, "command line "+quote(k.expression))
	}
	if k.pinFiles {
		all = append(all, "files "+listText(k.files))
	}
	if k.pinCommands {
		var commands []string
		for _, x := range k.commands {
			commands = append(commands, strings.TrimSuffix(strings.TrimPrefix(x.String(), `\A(?:`), `)\z`))
		}
		all = append(all, fmt.Sprintf("commands %q", commands))
	}
	return strings.Join(all, ", ")
}
