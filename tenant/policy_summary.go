package tenant

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// policySummary is what a policy says, without the paths of files.
type policySummary struct {
	Digest          string           `json:"digest"` // SHA-256 of its text
	Evaluates       bool             `json:"evaluates"`
	Paths           int              `json:"paths"`
	Digests         map[pcr.Bank]int `json:"digests"` // by algorithm, of files
	BootAggregates  []string         `json:"boot_aggregates"`
	Excludes        []string         `json:"excludes"`
	Keyrings        map[string]int   `json:"keyrings"` // digests by name
	IgnoredKeyrings []string         `json:"ignored_keyrings"`
	Buffers         map[string]int   `json:"ima_buf"` // digests by name
	Keys            []string         `json:"verification_keys"`
	MatchOn         string           `json:"dm_match_on,omitempty"`
	DeviceRules     []string         `json:"dm_rules"`
	DeniedDigests   []string         `json:"denied_digests"`
	DeniedPaths     []string         `json:"denied_paths"`
	Templates       []string         `json:"templates"`
	Violations      string           `json:"violations"`
	WeakDigest      string           `json:"weak_digest"`
	Warnings        []string         `json:"warnings"`
	Unknown         []string         `json:"unknown_members"`
}

// summaryOf compiles a policy and says what is in it.
func summaryOf(text []byte) (*policySummary, error) {
	p, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	c := p.Contents()
	s := &policySummary{
		Digest: p.Digest(), Evaluates: !p.Empty(), Paths: p.Paths(), Digests: p.DigestCounts(), BootAggregates: orEmpty(c.BootAggregates),
		Excludes: orEmpty(c.Excludes), Keyrings: lengths(c.Keyrings), IgnoredKeyrings: orEmpty(c.IgnoredKeyrings), Buffers: lengths(c.Buffers),
		Keys: []string{}, DeviceRules: []string{}, DeniedDigests: orEmpty(c.DeniedDigests), DeniedPaths: orEmpty(c.DeniedPaths),
		Templates: orEmpty(c.Templates), Violations: string(c.Violations), WeakDigest: string(c.WeakDigest),
		Warnings: orEmpty(p.Warnings()), Unknown: orEmpty(p.Unknown()),
	}
	for _, k := range c.Keys {
		s.Keys = append(s.Keys, policy.KeyName(k))
	}
	if c.Devices != nil {
		s.MatchOn = c.Devices.MatchOn
		for _, r := range c.Devices.Rules {
			s.DeviceRules = append(s.DeviceRules, r.Name)
		}
	}
	return s, nil
}

func lengths(all map[string][]string) map[string]int {
	n := make(map[string]int, len(all))
	for name, list := range all {
		n[name] = len(list)
	}
	return n
}

// write leaves out what the policy does not have.
func (s *policySummary) write(w io.Writer, title string, signature ...string) {
	f := &fields{title: title}
	list := func(name string, values []string) {
		if len(values) > 0 {
			f.add(name, "%d: %s", len(values), some(values))
		}
	}
	f.add("digest", "sha256:%s", s.Digest)
	if !s.Evaluates {
		f.add("evaluates", "nothing: a machine under it is not evaluated")
	}
	f.add("files", "%s: %s", counted(s.Paths, "path", "paths"), byAlgorithm(s.Digests))
	list("boot_aggregate", s.BootAggregates)
	list("exclusions", s.Excludes)
	list("keyrings", byName(s.Keyrings, "key", "keys"))
	list("ignored keyrings", s.IgnoredKeyrings)
	list("ima-buf", byName(s.Buffers, "digest", "digests"))
	for _, k := range s.Keys {
		f.add("verification key", "%s", k)
	}
	if s.MatchOn != "" {
		f.add("dm_policy", "%s by %s: %s", counted(len(s.DeviceRules), "rule", "rules"), s.MatchOn, some(s.DeviceRules))
	}
	list("denied digests", s.DeniedDigests)
	list("denied paths", s.DeniedPaths)
	list("templates", s.Templates)
	f.add("violations", "%s", s.Violations)
	f.add("weak_digest", "%s", s.WeakDigest)
	for _, warning := range s.Warnings {
		f.add("warning", "%s", warning)
	}
	for _, place := range s.Unknown {
		f.add("unknown member", "%s: it is kept and means nothing", place)
	}
	for _, line := range signature {
		f.add("signature", "%s", line)
	}
	f.write(w)
}

// some returns the first values in words.
func some(values []string) string {
	const shown = 5
	if len(values) <= shown {
		return strings.Join(values, ", ")
	}
	return strings.Join(values[:shown], ", ") + fmt.Sprintf(" and %d more", len(values)-shown)
}

// byName returns "name (2 keys)" of each, sorted.
func byName(n map[string]int, one, many string) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%s (%s)", name, counted(n[name], one, many)))
	}
	return all
}

func byAlgorithm(n map[pcr.Bank]int) string {
	var all []string
	for _, bank := range pcr.Banks {
		if n[bank] > 0 {
			all = append(all, fmt.Sprintf("%d %v", n[bank], bank))
		}
	}
	if len(all) == 0 {
		return "no digest"
	}
	return strings.Join(all, ", ")
}
