// Package policy reads runtime policies, the reference values for the files that
// a machine's kernel measures, and judges files by them.
//
// # Format
//
// A policy is one JSON object (RFC 8259, UTF-8), Keylime's runtime policy
// version 1, so that existing ones load unchanged:
//
//	meta               {version: 1, generator: int, timestamp: string}; version is required
//	release            a number; unused
//	digests            {path: [lower-case hex, …]}
//	excludes           [regular expression, …]
//	keyrings           {keyring: [lower-case hex, …]}, of the certificates that may be loaded
//	ima                {ignored_keyrings: [string, …], "*" for all: not judged, not learned
//	                    log_hash_alg: sha1 | sha256 | sha384 | sha512: unused
//	                    dm_policy: object or null, see package dm
//	                    violations: fail | warn | ignore: an extension; fail
//	                    weak_digest: fail | warn | accept: an extension; fail
//	                    templates: [custom template format, …]: an extension}
//	ima-buf            {buffer: [lower-case hex, …]}
//	verification-keys  JSON in a string: {meta, keyids: [int, …], pubkeys: [base64, …]}
//	deny               {digests: [lower-case hex, …], paths: [regular expression, …]}: an extension
//
// log_hash_alg names the hash of a column of the list that decides nothing here
// (I16). Unknown members are allowed; Unknown lists them. A
// member that an object has twice, anything after the object, and an escape that
// stands for half a character are errors: readers that take the first, the last
// or a guess would each enforce another policy.
//
// # Digests
//
// The algorithm of a digest is told by its length, 40 digits for sha1, 64 for
// sha256, 96 for sha384 and 128 for sha512, and counts as much as its value: an
// sm3 digest of a file does not match 64 listed digits.
//
// # Paths
//
// A path in a measurement list is bytes (I24), and the kernel writes "_" for
// every space in it. So a path that is listed with spaces stands for itself and
// for the path with "_" in their place, whose digests are joined if it is listed
// too. JSON holds nothing but UTF-8: a path that is none cannot be listed and is
// in no policy, unless an exclusion matches it.
//
// The path boot_aggregate is not a file. What the policy lists for it is an
// addition to, never a replacement of, the comparison with the quoted PCRs.
//
// # Exclusions
//
// An exclusion is a regular expression in the syntax of RE2 that matches the
// whole path, from its first byte to its last, as if it stood between \A and \z:
// ^/tmp/.* excludes what is below /tmp, ^/tmp only a file of that name. Keylime
// itself is content with the path's beginning. "." matches every character, a
// line break and a byte that is not UTF-8 included, so that no name escapes from
// a rule that was written as a prefix. A space is not rewritten. Only a path
// that begins with "/" can be excluded (I17).
//
// An expression that RE2 does not have is an error (look-around, references), and
// so is one that matches every path: nothing would be judged, and that has a
// name, not evaluated (I21). The empty expression is allowed; it matches no
// path.
//
// # Denials
//
// What deny names is forbidden whatever allows it: a listed digest, an exclusion, or
// a good signature, so that an old signed version of a file can be taken out of use,
// and so can a key that a keyring lists. Its paths are expressions like those of
// exclusions, but match any name.
//
// The package is pure. A Policy is immutable and may be shared.
package policy

import (
	"regexp"
	"runtime"
)

// BootAggregate is the path under which a policy may list digests of the
// boot_aggregate entry.
const BootAggregate = "boot_aggregate"

// Violations says what a violation entry in the list means.
type Violations string

// The meanings of a violation entry.
const (
	ViolationsFail   Violations = "fail"   // a failure; the default
	ViolationsWarn   Violations = "warn"   // a failure that is tolerated
	ViolationsIgnore Violations = "ignore" // nothing
)

// WeakDigest says what it means that a kernel extends the quoted bank with padded
// SHA-1 (I16).
type WeakDigest string

// The meanings of a weak bank.
const (
	WeakDigestFail   WeakDigest = "fail"   // a failure; the default
	WeakDigestWarn   WeakDigest = "warn"   // a failure that is tolerated
	WeakDigestAccept WeakDigest = "accept" // nothing
)

// Policy is a compiled runtime policy. The zero Policy is empty and allows no
// file.
type Policy struct {
	digest     string
	files      table
	sets       [shapes]shapeSet // of template digests
	hold       Hold             // nil: sets are searched where they are
	memo       memo
	others     []byte // the text without digests, see Compiled
	excludes   []*regexp.Regexp
	paths      int
	violations Violations
	unknown    []string
	warnings   []string
	rules
}

// Digest returns the lower-case hex SHA-256 of the policy's text.
func (p *Policy) Digest() string { return p.digest }

// Empty reports whether the policy says nothing of any entry: whoever is assigned
// it is not evaluated, which is not a pass (I21).
func (p *Policy) Empty() bool { return p.paths == 0 && len(p.excludes) == 0 && p.rules.empty() }

// Paths returns the number of paths that the policy's text lists, the path
// boot_aggregate included.
func (p *Policy) Paths() int { return p.paths }

// Excludes returns the number of exclusions.
func (p *Policy) Excludes() int { return len(p.excludes) }

// Violations returns what a violation entry means under the policy.
func (p *Policy) Violations() Violations {
	if p.violations == "" {
		return ViolationsFail
	}
	return p.violations
}

// BootAggregates returns the digests listed for boot_aggregate as "sha256:…",
// none if the policy does not list it.
func (p *Policy) BootAggregates() []string {
	sums, _ := p.files.find([]byte(BootAggregate))
	shown, _ := sums.show(MaxDigests)
	runtime.KeepAlive(p)
	return shown
}

// Unknown returns the places of members that are no part of the format, sorted,
// the first MaxReported of them.
func (p *Policy) Unknown() []string { return p.unknown }

// Warnings returns what is valid in the policy and unlikely to be meant, each
// with its place, the first MaxReported of them.
func (p *Policy) Warnings() []string { return p.warnings }
