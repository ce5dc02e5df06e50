package refvalues

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
)

// keyringPrefix marks a line whose digest is of a key.
const keyringPrefix = "%keyring:"

// flat makes a policy of a flat allowlist.
func (c *converter) flat() {
	f := flat{converter: c, keyrings: make(map[string]any)}
	for line := range bytes.Lines(c.in.Text) {
		f.n++
		if s := strings.TrimSpace(string(line)); s != "" {
			f.line(s)
		}
	}
	if f.values.Paths()+len(f.keyrings) == 0 && len(c.problems.Problems) == 0 {
		c.problem(c.in.Name, "it lists nothing")
	}
	c.doc = newDocument(GeneratorLegacy)
	c.doc.add(&f.values)
	c.doc["keyrings"] = f.keyrings
}

// flat reads the lines of one flat allowlist.
type flat struct {
	*converter
	n        int // of the line, from 1
	values   Values
	keyrings map[string]any
}

func (f *flat) place() string { return fmt.Sprintf("%s:%d", f.in.Name, f.n) }

// line reads one line, of which the blanks around it are gone.
func (f *flat) line(s string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		f.problem(f.place(), "%s: want a digest, a blank and a path", quote(s))
		return
	}
	digest, path := s[:i], strings.TrimLeft(s[i:], " \t")
	sum, err := hex.DecodeString(digest)
	bank := bankOf(len(sum))
	switch name, ring := strings.CutPrefix(path, keyringPrefix); {
	case err != nil || bank == 0:
		f.problem(f.place(), "%s is no digest of sha1, sha256, sha384 or sha512 in hexadecimal", quote(digest))
	case ring && name == "":
		f.problem(f.place(), "a keyring without a name")
	case ring && f.full(f.keyrings[name]):
	case ring:
		f.keyrings[name] = union(f.keyrings[name], []string{hex.EncodeToString(sum)})
	case path == policy.BootAggregate:
		f.change(f.place(), "boot_aggregate is left out: it is of one machine")
	default:
		f.file(path, bank, sum)
	}
	if err == nil && strings.ToLower(digest) != digest {
		f.change(f.place(), "digest in lower case")
	}
}

// full reports a list of digests that has no room for more.
func (f *flat) full(list any) bool {
	l, _ := list.([]any)
	if len(l) < policy.MaxDigests {
		return false
	}
	f.problem(f.place(), "more than %d digests of one keyring", policy.MaxDigests)
	return true
}

func (f *flat) file(path string, bank pcr.Bank, sum []byte) {
	if err := f.values.Allow(path, bank, sum); err != nil {
		f.problem(f.place(), "%s: %v", quote(path), err)
		return
	}
	if written := strings.ReplaceAll(path, " ", "_"); written != path {
		f.change(f.place(), "the path is written %s, as the kernel writes it", quote(written))
	}
}

// bankOf is the algorithm whose digests have so many bytes, 0 if there is none.
func bankOf(size int) pcr.Bank {
	i := slices.IndexFunc(pcr.Banks, func(b pcr.Bank) bool { return b.Size() == size })
	if i < 0 {
		return 0
	}
	return pcr.Banks[i]
}

// quote returns s in quotes, printable and of bounded length.
func quote(s string) string {
	const most = 200 // bytes
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}
