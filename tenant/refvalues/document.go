package refvalues

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
)

// The makers of policies that Keylime knows, for meta.generator.
const (
	GeneratorUnknown    = 0
	GeneratorEmpty      = 1 // an empty allowlist
	GeneratorCompatible = 2 // a compatible allowlist
	GeneratorLegacy     = 3 // a legacy allowlist
)

// Meta is what a new policy says about itself.
type Meta struct {
	Generator int
	At        time.Time // zero: not said
}

// document is a policy as encoding/json decodes it: members that nobody here
// understands are as good as the others, and numbers stay as they are written.
type document map[string]any

// Policy returns the text of a new policy that holds the values. The error is a
// *policy.Error if they make no policy, such as an exclusion that RE2 does not
// have.
func (v *Values) Policy(m Meta) ([]byte, error) {
	d := newDocument(m.Generator)
	d.add(v)
	d.stamp(m.At)
	return d.encode()
}

// newDocument is a policy without contents.
func newDocument(generator int) document {
	return document{
		"meta":              map[string]any{"version": 1, "generator": generator},
		"release":           0,
		"digests":           map[string]any{},
		"excludes":          []any{},
		"keyrings":          map[string]any{},
		"ima":               map[string]any{"ignored_keyrings": []any{}, "log_hash_alg": "sha1", "dm_policy": nil},
		"ima-buf":           map[string]any{},
		"verification-keys": "",
	}
}

// Merge returns the text of the policy base with the values added. It takes
// nothing away: every member of base is there again, known or not; digests are
// added behind those that base lists for the path, exclusions behind its own. Only
// what the values say of violations replaces what base says. A time that is not
// zero becomes the policy's timestamp. The error is a *policy.Error if base, or
// the outcome, is no policy.
func Merge(base []byte, v *Values, at time.Time) ([]byte, error) {
	if _, err := policy.Parse(base); err != nil {
		return nil, fmt.Errorf("the policy to extend: %w", err)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(base))
	dec.UseNumber()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("the policy to extend: %w", err)
	}
	d.add(v)
	d.stamp(at)
	return d.encode()
}

// add adds values to a document that policy.Parse accepts.
func (d document) add(v *Values) {
	d.list("digests", v.digests)
	d.list("keyrings", v.keyrings)
	d.list("ima-buf", v.buffers)
	if len(v.excludes) > 0 {
		d["excludes"] = union(d["excludes"], v.excludes)
	}
	if v.violations != "" {
		d.ima()["violations"] = string(v.violations)
	}
	if len(v.keys) > 0 {
		d.trust(v.keys)
	}
}

// trust adds keys to those of the member verification-keys, which is JSON in a string.
func (d document) trust(keys []*digsig.Key) {
	inner := document{"meta": map[string]any{"version": 1}}
	if text, _ := d["verification-keys"].(string); text != "" {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		dec.Decode(&inner) // policy.Parse did
	}
	ids, _ := inner["keyids"].([]any)
	pubkeys, _ := inner["pubkeys"].([]any)
	for _, k := range keys {
		spki := base64.StdEncoding.EncodeToString(k.SPKI())
		if !slices.Contains(pubkeys, any(spki)) {
			ids, pubkeys = append(ids, k.ID), append(pubkeys, spki)
		}
	}
	inner["keyids"], inner["pubkeys"] = ids, pubkeys
	text, err := json.Marshal(inner)
	if err != nil {
		panic(err) // it was JSON, and numbers and strings came to it
	}
	d["verification-keys"] = string(text)
}

// list adds digests to a member that has them by name.
func (d document) list(member string, l listed) {
	if len(l) > 0 && d[member] == nil {
		d[member] = make(map[string]any, len(l))
	}
	digests, _ := d[member].(map[string]any)
	for name, sums := range l {
		digests[name] = union(digests[name], sums)
	}
}

// ima returns the member ima, which it makes if there is none.
func (d document) ima() map[string]any {
	ima, _ := d["ima"].(map[string]any)
	if ima == nil {
		ima = make(map[string]any)
		d["ima"] = ima
	}
	return ima
}

// union returns the elements of list, an array or nothing, and behind them the
// strings that are not among them.
func union(list any, add []string) []any {
	all, _ := list.([]any)
	if all == nil {
		all = []any{}
	}
	for _, s := range add {
		if !slices.Contains(all, any(s)) {
			all = append(all, s)
		}
	}
	return all
}

func (d document) stamp(at time.Time) {
	if meta, ok := d["meta"].(map[string]any); ok && !at.IsZero() {
		meta["timestamp"] = at.UTC().Format(time.RFC3339)
	}
}

// encode writes the document, and refuses one that is no policy.
func (d document) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	if _, err := policy.Parse(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
