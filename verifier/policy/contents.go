package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"runtime"
	"slices"

	"quicklime/ima/digsig"
	"quicklime/wire/pcr"
)

// Digests are those that a policy lists for a name. They are valid only during the
// call that shows them.
type Digests struct{ sums sums }

// Each calls f with every digest.
func (d Digests) Each(f func(bank pcr.Bank, digest []byte)) {
	for s := d.sums; len(s) > 0; {
		var bank pcr.Bank
		var digest []byte
		bank, digest, s = s.next()
		f(bank, digest)
	}
}

// EachFile calls f with every path that can stand in a list and has digests in the
// policy, in the order of its text. A path that is listed with spaces is shown as the
// kernel writes it; boot_aggregate is no file and not shown.
func (p *Policy) EachFile(f func(path []byte, d Digests)) {
	defer runtime.KeepAlive(p)
	p.files.eachInForce(func(path []byte, s sums) {
		if bytes.IndexByte(path, ' ') < 0 && string(path) != BootAggregate {
			f(path, Digests{s})
		}
	})
}

// DigestCounts returns how many digests of each algorithm the text lists for files,
// those that EachFile shows.
func (p *Policy) DigestCounts() map[pcr.Bank]int {
	counts := map[pcr.Bank]int{}
	p.EachFile(func(_ []byte, d Digests) { d.Each(func(bank pcr.Bank, _ []byte) { counts[bank]++ }) })
	return counts
}

// Contents is what a policy says beside the digests of files. Digests are
// "sha256:…", everything else is as it is written.
type Contents struct {
	BootAggregates  []string
	Excludes        []string
	Keyrings        map[string][]string
	IgnoredKeyrings []string // sorted
	Buffers         map[string][]string
	DeniedDigests   []string // sorted
	DeniedPaths     []string
	Templates       []string
	Keys            []*digsig.Key
	Violations      Violations
	WeakDigest      string          // fail or accept
	Devices         *DeviceContents // nil: no dm_policy
}

// DeviceContents is what a device-mapper policy says.
type DeviceContents struct {
	MatchOn string
	Rules   []DeviceRule // in the order in which they are tried
}

// DeviceRule is one rule. Two that mean the same have the same text.
type DeviceRule struct{ Name, Text string }

// Contents returns what the policy says beside the digests of files.
func (p *Policy) Contents() Contents {
	text := members(p.others)
	deny, kernel := members(text["deny"]), members(text["ima"])
	c := Contents{
		BootAggregates:  p.BootAggregates(),
		Excludes:        texts(text["excludes"]),
		Keyrings:        shown(p.keyrings),
		IgnoredKeyrings: slices.Sorted(maps.Keys(p.ignored)),
		Buffers:         shown(p.buffers),
		DeniedPaths:     texts(deny["paths"]),
		Templates:       texts(kernel["templates"]),
		Keys:            p.keys.Keys(),
		Violations:      p.Violations(),
		WeakDigest:      "fail",
	}
	if p.weak {
		c.WeakDigest = "accept"
	}
	for s := range p.deny.digests {
		digest, _ := sums(s).show(1)
		c.DeniedDigests = append(c.DeniedDigests, digest...)
	}
	slices.Sort(c.DeniedDigests)
	if p.devices != nil {
		c.Devices = deviceContents(kernel["dm_policy"])
	}
	return c
}

// members returns the members of an object of a text that the parser has read; of
// anything else none. encoding/json would take a member's name in another case for
// a field.
func members(text []byte) (m map[string]json.RawMessage) {
	json.Unmarshal(text, &m)
	return m
}

func texts(array []byte) (all []string) {
	json.Unmarshal(array, &all)
	return all
}

func shown(all map[string]sums) map[string][]string {
	lists := make(map[string][]string, len(all))
	for name, s := range all {
		lists[name], _ = s.show(MaxDigests)
	}
	return lists
}

func deviceContents(text []byte) *DeviceContents {
	m := members(text)
	d := new(DeviceContents)
	json.Unmarshal(m["match_on"], &d.MatchOn)
	rules := members(m["rules"])
	for _, name := range memberNames(m["rules"]) {
		d.Rules = append(d.Rules, DeviceRule{name, canonical(rules[name])})
	}
	return d
}

// memberNames returns the names of an object's members in their order.
func memberNames(object []byte) (all []string) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token() // the opening brace
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		all = append(all, name.(string))
	}
	return all
}

// canonical returns a value without white space and with the members of objects in
// the order of their names.
func canonical(value []byte) string {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}
