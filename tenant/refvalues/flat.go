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
	f := flat{converter: c}
	for line := range bytes.Lines(c.in.Text) {
		f.n++
		if s := strings.TrimSpace(string(line)); s != "" {
			f.line(s)
		}
	}
	if f.values.Paths()+len(f.values.keyrings) == 0 && len(c.problems.Problems) == 0 {
		c.problem(c.in.Name, "it lists nothing")
	}
	c.doc = newDocument(GeneratorLegacy)
	c.doc.add(&f.values)
}

// flat reads the lines of one flat allowlist.
type flat struct {
	*converter
	n      int // of the line, from 1
	values Values
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
	case ring:
		f.add(&f.values.keyrings, name, bank, sum)
	case path == policy.BootAggregate:
		f.change(f.place(), "boot_aggregate is left out: it is of one machine")
	default:
		f.file(path, bank, sum)
	}
	if err == nil && strings.ToLower(digest) != digest {
		f.change(f.place(), "digest in lower case")
	}
}

func (f *flat) file(path string, bank pcr.Bank, sum []byte) {
	written := strings.ReplaceAll(path, " ", "_")
	f.add(&f.values.digests, written, bank, sum)
	if written != path {
		f.change(f.place(), "the path is written %s, as the kernel writes it", quote(written))
	}
}

// add adds a digest for a path or a keyring.
func (f *flat) add(to *listed, name string, bank pcr.Bank, sum []byte) {
	if len((*to)[name]) > policy.MaxDigests {
		f.problem(f.place(), "%s has more than %d digests", quote(name), policy.MaxDigests)
		return
	}
	if err := to.add(name, bank, sum); err != nil {
		f.problem(f.place(), "%s: %v", quote(name), err)
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
