package policy

import (
	"bytes"
	"maps"
	"runtime"
	"slices"

	"quicklime/wire/pcr"
)

// Effect says what a change does to the machines under a policy.
type Effect string

// The effects.
const (
	Looser  Effect = "looser"  // more is allowed
	Tighter Effect = "tighter" // less is allowed
	Mixed   Effect = "mixed"   // both, or it depends on the machine
)

// The kinds of changes, in the order in which Compare returns them.
const (
	FilesAllowed     = "files newly allowed"
	FilesForbidden   = "files no longer allowed"
	FilesOther       = "files allowed with other digests"
	ChangedAggregate = "boot_aggregate"
	ChangedExcludes  = "exclusions"
	ChangedDenied    = "denied digests"
	ChangedPaths     = "denied paths"
	ChangedKeys      = "verification keys"
	ChangedKeyrings  = "keyrings"
	ChangedIgnored   = "ignored keyrings"
	ChangedBuffers   = "ima-buf"
	ChangedDevices   = "device-mapper rules"
	ChangedTemplates = "templates"
	ChangedSettings  = "settings"
)

// Change is what is different about one thing between two policies.
type Change struct {
	Name    string   `json:"name"` // a path, an expression, a keyring, …
	Effect  Effect   `json:"effect"`
	Added   []string `json:"added,omitempty"`   // digests, or what a setting becomes
	Removed []string `json:"removed,omitempty"` // digests, or what it was
}

// ChangeGroup is all changes of a kind.
type ChangeGroup struct {
	Kind    string   `json:"kind"`
	Effect  Effect   `json:"effect"` // of all of them
	Count   int      `json:"count"`
	Changes []Change `json:"changes"` // the first of them
}

// Compare returns what changes for machines when the policy b takes the place of a:
// groups without a change are left out, and of each group the first limit changes are
// kept. It decides about files as the two policies would, so that a digest that is newly
// listed and was excluded before is no change, and one that is newly denied is.
// Files come in the order of the policies' texts.
func Compare(a, b *Policy, limit int) []ChangeGroup {
	defer runtime.KeepAlive(a)
	defer runtime.KeepAlive(b)
	d := difference{limit: limit, groups: map[string]*ChangeGroup{}}
	d.files(a, b)
	x, y := a.Contents(), b.Contents()
	d.aggregate(x.BootAggregates, y.BootAggregates)
	d.set(ChangedExcludes, x.Excludes, y.Excludes, Looser)
	d.set(ChangedDenied, x.DeniedDigests, y.DeniedDigests, Tighter)
	d.set(ChangedPaths, x.DeniedPaths, y.DeniedPaths, Tighter)
	d.set(ChangedKeys, keyNames(x), keyNames(y), Looser)
	d.lists(ChangedKeyrings, x.Keyrings, y.Keyrings)
	d.set(ChangedIgnored, x.IgnoredKeyrings, y.IgnoredKeyrings, Mixed)
	d.lists(ChangedBuffers, x.Buffers, y.Buffers)
	d.devices(x.Devices, y.Devices)
	d.set(ChangedTemplates, x.Templates, y.Templates, Looser)
	d.setting("ima.violations", string(x.Violations), string(y.Violations), string(ViolationsFail))
	d.setting("ima.weak_digest", x.WeakDigest, y.WeakDigest, "fail")
	return d.inOrder()
}

type difference struct {
	limit  int
	groups map[string]*ChangeGroup
}

// add adds a change to its group; make makes it if it is to be kept.
func (d *difference) add(kind string, effect Effect, make func() Change) {
	g := d.groups[kind]
	if g == nil {
		g = &ChangeGroup{Kind: kind, Effect: effect, Changes: []Change{}}
		d.groups[kind] = g
	}
	if g.Effect != effect {
		g.Effect = Mixed
	}
	if g.Count++; g.Count <= d.limit {
		c := make()
		c.Effect = effect
		g.Changes = append(g.Changes, c)
	}
}

func (d *difference) inOrder() []ChangeGroup {
	all := []ChangeGroup{}
	for _, kind := range []string{FilesAllowed, FilesForbidden, FilesOther, ChangedAggregate, ChangedExcludes, ChangedDenied, ChangedPaths,
		ChangedKeys, ChangedKeyrings, ChangedIgnored, ChangedBuffers, ChangedDevices, ChangedTemplates, ChangedSettings} {
		if g := d.groups[kind]; g != nil {
			all = append(all, *g)
		}
	}
	return all
}

// files compares what the two allow of the files that either lists.
func (d *difference) files(a, b *Policy) {
	sameDenials := a.deny.same(&b.deny)
	b.EachFile(func(path []byte, listed Digests) {
		if old, ok := a.files.find(path); !sameDenials || !ok || !bytes.Equal(old, listed.sums) {
			d.file(path, old, listed.sums, a, b)
		}
	})
	a.EachFile(func(path []byte, listed Digests) {
		if _, ok := b.files.find(path); !ok {
			d.file(path, listed.sums, nil, a, b)
		}
	})
}

// file compares what is allowed of one file.
func (d *difference) file(path []byte, before, after sums, a, b *Policy) {
	var added, removed sums
	kept := false
	judge := func(bank pcr.Bank, digest []byte) {
		switch was, is := a.allows(path, bank, digest), b.allows(path, bank, digest); {
		case is && !was:
			added = appendSum(added, bank, digest)
		case was && !is:
			removed = appendSum(removed, bank, digest)
		case was:
			kept = true
		}
	}
	Digests{before}.Each(judge)
	Digests{after}.Each(func(bank pcr.Bank, digest []byte) {
		if !before.has(bank, digest) {
			judge(bank, digest)
		}
	})
	change := func() Change {
		c := Change{Name: string(path)}
		c.Added, _ = added.show(MaxDigests)
		c.Removed, _ = removed.show(MaxDigests)
		return c
	}
	switch {
	case len(added)+len(removed) == 0:
	case len(removed) == 0 && !kept:
		d.add(FilesAllowed, Looser, change)
	case len(added) == 0 && !kept:
		d.add(FilesForbidden, Tighter, change)
	default:
		d.add(FilesOther, effectOf(len(added), len(removed)), change)
	}
}

// allows reports whether the policy has nothing against an unsigned file.
func (p *Policy) allows(path []byte, bank pcr.Bank, digest []byte) bool {
	sums, listed := p.files.find(path)
	return (listed && sums.has(bank, digest) || p.excluded(path)) && !p.denied(path, bank, digest)
}

// effectOf is the effect of so much more and so much less being allowed.
func effectOf(more, less int) Effect {
	switch {
	case less == 0:
		return Looser
	case more == 0:
		return Tighter
	}
	return Mixed
}

// aggregate compares what is listed for boot_aggregate: nothing demands nothing.
func (d *difference) aggregate(before, after []string) {
	added, removed := without(after, before), without(before, after)
	effect := effectOf(len(added), len(removed))
	switch {
	case len(added)+len(removed) == 0:
		return
	case len(before) == 0:
		effect = Tighter
	case len(after) == 0:
		effect = Looser
	}
	d.add(ChangedAggregate, effect, func() Change { return Change{Name: BootAggregate, Added: added, Removed: removed} })
}

// set compares two sets, of which each element that is added has an effect.
func (d *difference) set(kind string, before, after []string, effect Effect) {
	for _, s := range without(after, before) {
		d.add(kind, effect, func() Change { return Change{Name: s, Added: []string{s}} })
	}
	opposite := map[Effect]Effect{Looser: Tighter, Tighter: Looser, Mixed: Mixed}[effect]
	for _, s := range without(before, after) {
		d.add(kind, opposite, func() Change { return Change{Name: s, Removed: []string{s}} })
	}
}

// lists compares digests by name.
func (d *difference) lists(kind string, before, after map[string][]string) {
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		added, removed := without(after[name], before[name]), without(before[name], after[name])
		if len(added)+len(removed) > 0 {
			d.add(kind, effectOf(len(added), len(removed)), func() Change { return Change{Name: name, Added: added, Removed: removed} })
		}
	}
}

// devices compares the rules. What another rule does to a device, only the device
// could tell.
func (d *difference) devices(before, after *DeviceContents) {
	was, is := orNone(before), orNone(after)
	for _, r := range is.Rules {
		if text, ok := was.text(r.Name); !ok {
			d.add(ChangedDevices, Mixed, func() Change { return Change{Name: r.Name, Added: []string{r.Text}} })
		} else if text != r.Text {
			d.add(ChangedDevices, Mixed, func() Change { return Change{Name: r.Name, Added: []string{r.Text}, Removed: []string{text}} })
		}
	}
	for _, r := range was.Rules {
		if _, ok := is.text(r.Name); !ok {
			d.add(ChangedDevices, Mixed, func() Change { return Change{Name: r.Name, Removed: []string{r.Text}} })
		}
	}
	if was.MatchOn != is.MatchOn {
		d.add(ChangedDevices, Mixed, func() Change { return valueChange("match_on", was.MatchOn, is.MatchOn) })
	}
	if was.order(is) != is.order(was) {
		d.add(ChangedDevices, Mixed, func() Change { return valueChange("order of rules", was.order(is), is.order(was)) })
	}
}

// setting compares two words, of which one is strict.
func (d *difference) setting(name, before, after, strict string) {
	effect := Looser
	switch {
	case before == after:
		return
	case after == strict:
		effect = Tighter
	case before != strict:
		effect = Mixed
	}
	d.add(ChangedSettings, effect, func() Change { return valueChange(name, before, after) })
}
