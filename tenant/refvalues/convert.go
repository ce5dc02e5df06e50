package refvalues

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"quicklime/verifier/policy"
)

// Bounds on what Convert tells and takes.
const (
	// MaxChanges bounds the changes that Converted lists: a person looks into the
	// first few, and knows how many there are.
	MaxChanges = 100

	// MaxExcludeFile bounds an exclude file: what people write by hand.
	MaxExcludeFile = 8 << 20 // bytes
)

// Source is a file that Convert reads.
type Source struct {
	Name string // for messages
	Text []byte
}

// Form is what an input was.
type Form string

// The forms that Keylime has had.
const (
	FlatAllowlist Form = "flat allowlist"
	JSONAllowlist Form = "JSON allowlist"
	RuntimePolicy Form = "runtime policy"
)

// Converted is a policy made of an older input.
type Converted struct {
	Text    []byte
	Form    Form
	Changes []Change // the first MaxChanges
	More    int      // changes beyond them
}

// Change is something that the policy says in another way than the input.
type Change struct {
	Place string // "file:line", or "file: place in the JSON text"
	Text  string
}

// String returns the change as "place: text".
func (c Change) String() string { return c.Place + ": " + c.Text }

// Convert makes a runtime policy of what Keylime's tools have written, perhaps with
// an exclude file; of a zero excludes there is none. The input is one of
//
//	flat allowlist  lines of "digest path", or "digest %keyring:name"; blanks around
//	                and between, and empty lines, mean nothing
//	JSON allowlist  {meta, release, hashes: {path: [digest, …]}, keyrings, ima, …}
//	runtime policy  version 1
//
// and an exclude file has a regular expression a line, or # and a comment.
//
// What is read has Keylime's meaning, and what is written has ours. Keylime is
// content when an exclusion matches the beginning of a path; so ".*" goes behind
// each that does not end in it or in "$". \Z and {,n} of Python's are written as RE2
// has them. The kernel writes "_" for a space, so it is written for it in paths and
// exclusions. Digests become lower case. The boot_aggregate of an allowlist, which
// is of one machine, is left out: every machine's is compared with its PCRs. Each of
// these is among the Changes.
//
// The error is a *policy.Error with every problem and its file and line, or its
// place in a JSON text; nothing is skipped that cannot be read.
func Convert(in, excludes Source, at time.Time) (Converted, error) {
	c := converter{in: in}
	c.read()
	c.excludeFile(excludes)
	if len(c.problems.Problems) > 0 {
		return Converted{}, &c.problems
	}
	c.doc.stamp(at)
	text, err := c.doc.encode()
	if err != nil {
		return Converted{}, c.placed(err)
	}
	c.out.Text = text
	return c.out, nil
}

// converter collects what becomes of an input.
type converter struct {
	in       Source
	doc      document
	out      Converted
	problems policy.Error
}

func (c *converter) problem(place, format string, args ...any) {
	if len(c.problems.Problems) == policy.MaxProblems {
		c.problems.More++
		return
	}
	c.problems.Problems = append(c.problems.Problems, policy.Problem{Place: place, Text: fmt.Sprintf(format, args...)})
}

func (c *converter) change(place, format string, args ...any) {
	if len(c.out.Changes) == MaxChanges {
		c.out.More++
		return
	}
	c.out.Changes = append(c.out.Changes, Change{place, fmt.Sprintf(format, args...)})
}

// read finds out what the input is, and reads it.
func (c *converter) read() {
	if !bytes.HasPrefix(bytes.TrimSpace(c.in.Text), []byte("{")) {
		c.out.Form = FlatAllowlist
		c.flat()
		return
	}
	if !c.checkJSON() {
		return
	}
	d := json.NewDecoder(bytes.NewReader(c.in.Text))
	d.UseNumber()
	if err := d.Decode(&c.doc); err != nil {
		c.problem(c.in.Name, "%v", err)
		return
	}
	switch {
	case c.doc["payload"] != nil && c.doc["signatures"] != nil:
		c.problem(c.in.Name, "it is a signed policy: verify it, and convert what was signed")
	case c.doc["hashes"] != nil && c.doc["digests"] == nil:
		c.out.Form = JSONAllowlist
		c.allowlist()
	default:
		c.out.Form = RuntimePolicy
		c.normalise()
	}
}

// normalise gives a policy the members that Keylime's tools insist on, and the
// meaning of ours to what has Keylime's.
func (c *converter) normalise() {
	fill(c.doc, newDocument(GeneratorUnknown))
	if ima, ok := c.doc["ima"].(map[string]any); ok {
		fill(ima, newDocument(GeneratorUnknown)["ima"].(map[string]any))
	}
	for _, name := range []string{"digests", "keyrings", "ima-buf"} {
		if m, ok := c.doc[name].(map[string]any); ok {
			c.doc[name] = c.digests(name, m, name == "digests")
		}
	}
	if list, ok := c.doc["excludes"].([]any); ok {
		c.doc["excludes"] = c.exclusions(list)
	}
}

// fill adds members that are not there, or null. meta says for what a policy was
// written, and is not made up.
func fill(members, with map[string]any) {
	for name, value := range with {
		if name != "meta" && members[name] == nil {
			members[name] = value
		}
	}
}

// allowlist makes a policy of a JSON allowlist.
func (c *converter) allowlist() {
	old := c.doc
	c.doc = newDocument(GeneratorLegacy)
	for _, name := range sorted(old) {
		switch _, known := c.doc[name]; {
		case name == "hashes":
			c.doc["digests"] = old[name]
		case name == "meta": // of the allowlist
		case !known:
			c.change(c.in.Name+": "+name, "left out: it is no part of a policy")
		case name == "release" && !isNumber(old[name]):
			c.change(c.in.Name+": "+name, "left out: it is no number, and unused")
		default:
			c.doc[name] = old[name]
		}
	}
	if m, ok := c.doc["digests"].(map[string]any); ok && m[policy.BootAggregate] != nil {
		delete(m, policy.BootAggregate)
		c.change(c.in.Name+": hashes."+policy.BootAggregate, "left out: it is of one machine")
	}
	c.normalise()
}

func isNumber(v any) bool {
	_, ok := v.(json.Number)
	return ok
}

// digests rewrites an object of digests by path, or by name.
func (c *converter) digests(member string, old map[string]any, paths bool) map[string]any {
	all := make(map[string]any, len(old))
	for _, name := range sorted(old) {
		list, ok := old[name].([]any)
		if !ok || len(list) > policy.MaxDigests { // which is for policy.Parse to say
			all[name] = old[name]
			continue
		}
		if lower(list) {
			c.change(c.member(member, name), "digests in lower case")
		}
		written := name
		if paths {
			written = strings.ReplaceAll(name, " ", "_")
		}
		if written != name {
			c.change(c.member(member, name), "the path is written %s, as the kernel writes it", quote(written))
		}
		all[written] = merged(all[written], list)
	}
	return all
}

// lower writes digests in lower case, and reports whether one was not.
func lower(list []any) (changed bool) {
	for i, d := range list {
		if s, ok := d.(string); ok && strings.ToLower(s) != s {
			list[i], changed = strings.ToLower(s), true
		}
	}
	return changed
}

// merged returns the digests of list, an array or nothing, and behind them those of
// more that are not among them.
func merged(list any, more []any) any {
	all, ok := list.([]any)
	if list != nil && !ok {
		return list // another path's, which policy.Parse refuses
	}
	all = slices.Clone(all)
	for _, d := range more {
		if s, ok := d.(string); !ok || !slices.Contains(all, any(s)) {
			all = append(all, d)
		}
	}
	if all == nil {
		return []any{}
	}
	return all
}

// member is where a member of an object of the input is.
func (c *converter) member(object, name string) string {
	return c.place(fmt.Sprintf("%s[%s]", object, quote(name)))
}

// exclusions rewrites the exclusions of a policy.
func (c *converter) exclusions(list []any) []any {
	for i, x := range list {
		if s, ok := x.(string); ok {
			list[i] = c.exclusion(c.place(fmt.Sprintf("excludes[%d]", i)), s)
		}
	}
	return list
}

// place is where in the JSON text of the input a place of the policy is.
func (c *converter) place(p string) string {
	if rest, ok := strings.CutPrefix(p, "digests"); ok && c.out.Form == JSONAllowlist {
		p = "hashes" + rest
	}
	return c.in.Name + ": " + p
}

// placed says of the outcome's problems where in the input they are.
func (c *converter) placed(err error) error {
	e, ok := err.(*policy.Error)
	if !ok || c.out.Form == FlatAllowlist {
		return err
	}
	for i, p := range e.Problems {
		e.Problems[i] = policy.Problem{Place: c.place(p.Place), Text: p.Text} // its line is of the outcome
	}
	return e
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
