package bootpolicy

import (
	"fmt"
	"slices"
	"strings"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// digests are of one thing, by bank.
type digests map[pcr.Bank]string // raw bytes

// is reports whether the event has the digest, in its bank.
func (d digests) is(e eventlog.Event) bool {
	want, ok := d[e.Bank()]
	return ok && want == string(e.Digest())
}

// anyOf reports whether one of the digests is the event's.
func anyOf(e eventlog.Event, of []digests) bool {
	return slices.ContainsFunc(of, func(d digests) bool { return d.is(e) })
}

// shown are the digests as "sha256:…", sorted.
func (d digests) shown() (all []string) {
	for bank, v := range d {
		all = append(all, fmt.Sprintf("%v:%x", bank, v))
	}
	slices.Sort(all)
	return all
}

// String shows digests in a line.
func (d digests) String() string { return strings.Join(d.shown(), " ") }

func each(of []digests) (all []string) {
	for _, d := range of {
		all = append(all, d.String())
	}
	return all
}

func listText(of []digests) string { return "[" + strings.Join(each(of), ", ") + "]" }

// digestsOf reads {"sha256": "0x…", …}.
func (p *parser) digestsOf(v *value) digests {
	d := digests{}
	p.object(v, func(name string, m *value) { p.digestInto(d, name, m) })
	if v.Kind() == "an object" && len(v.Members) == 0 {
		p.problem(v, "a digest is missing: write {\"sha256\": \"0x…\"}")
	}
	return d
}

// digestInto reads the member of a digest that name is the bank of.
func (p *parser) digestInto(d digests, name string, m *value) {
	bank, err := pcr.ParseBank(name)
	if err != nil {
		p.problem(m, "%s is no hash: write sha256, sha384 or sha512", quote(name))
		return
	}
	if b, ok := p.hex(m, bank.Size()); ok {
		d[bank] = string(b)
	}
}

func (p *parser) digestList(v *value) (all []digests) {
	p.array(v, MaxValues, func(e *value) { all = append(all, p.digestsOf(e)) })
	return all
}
