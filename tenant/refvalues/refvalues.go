// Package refvalues makes reference values: runtime policies from what a machine
// has measured while it was known to be good, from what Keylime's older tools have
// written, and additions to policies that exist. It writes the format that
// quicklime/verifier/policy specifies.
//
// What it writes depends on its arguments alone and is made to be compared by a
// person: indented, members in the order of their names, one digest a line. A
// new policy has every member of the format, for Keylime's own tools insist on
// them.
package refvalues

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// ErrUnlistable says that a policy has no way to name a file, or a buffer.
var ErrUnlistable = errors.New("no policy can list this")

// Values are digests by path, by keyring and by buffer, exclusions, keys that vouch for
// files, and what violations mean. The zero Values holds none.
type Values struct {
	digests    listed
	keyrings   listed
	buffers    listed
	excludes   []string
	violations policy.Violations // empty: not said
	keys       []*digsig.Key     // whose signature vouches for a file
}

// Allow adds a digest for a path. Spaces in the path become "_", for so the
// kernel writes them. The error is ErrUnlistable for a path that is not UTF-8,
// has a NUL or is longer than any in Linux, and for a digest that is not one of
// bank.
func (v *Values) Allow(path string, bank pcr.Bank, digest []byte) error {
	return v.digests.add(strings.ReplaceAll(path, " ", "_"), bank, digest)
}

// Exclude adds exclusions, behind those that are there. Whether RE2 has them is
// checked when a policy is made.
func (v *Values) Exclude(expressions ...string) {
	v.excludes = append(v.excludes, expressions...)
}

// Trust adds a key whose signature vouches for a file.
func (v *Values) Trust(k *digsig.Key) { v.keys = append(v.keys, k) }

// SetViolations says what a violation in a machine's list means. The empty
// Violations leaves it unsaid.
func (v *Values) SetViolations(mean policy.Violations) { v.violations = mean }

// Paths returns the number of paths that have digests.
func (v *Values) Paths() int { return len(v.digests) }

// OmitKeyrings forgets the keys of keyrings.
func (v *Values) OmitKeyrings() { v.keyrings = nil }

// OmitBuffers forgets the buffers that are no keys.
func (v *Values) OmitBuffers() { v.buffers = nil }

// Keyrings returns the names of the keyrings that have keys, sorted.
func (v *Values) Keyrings() []string { return slices.Sorted(maps.Keys(v.keyrings)) }

// Buffers returns the names of the buffers that have digests, sorted.
func (v *Values) Buffers() []string { return slices.Sorted(maps.Keys(v.buffers)) }

// listed is digests by name: sorted lower-case hex, each once.
type listed map[string][]string

// add adds a digest for a name as the kernel wrote it.
func (l *listed) add(name string, bank pcr.Bank, digest []byte) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: JSON cannot hold its path or name, which is not UTF-8", ErrUnlistable)
	case name == "" || strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: its path or name is empty or has a NUL", ErrUnlistable)
	case len(name) > policy.MaxPath:
		return fmt.Errorf("%w: its path or name has %d bytes, the limit is %d", ErrUnlistable, len(name), policy.MaxPath)
	case !bank.Known():
		return fmt.Errorf("%w: its digest is none of sha1, sha256, sha384, sha512", ErrUnlistable)
	case len(digest) != bank.Size():
		return fmt.Errorf("%w: a %v digest of %d bytes", ErrUnlistable, bank, len(digest))
	}
	text := hex.EncodeToString(digest)
	at, found := slices.BinarySearch((*l)[name], text)
	if found {
		return nil
	}
	if *l == nil {
		*l = make(listed)
	}
	(*l)[name] = slices.Insert((*l)[name], at, text)
	return nil
}
