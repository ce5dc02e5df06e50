package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"
)

// Parse reads and compiles a policy. The error is an *Error with every problem
// found. Parse keeps nothing of text.
func Parse(text []byte) (*Policy, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	return parse(text, sha256.Sum256(text))
}

// parse reads what checkText has seen. Half of the digest keys the hash of the
// paths: whoever writes a policy cannot choose it.
func parse(text []byte, digest [sha256.Size]byte) (*Policy, error) {
	p := parser{reader: newReader(text, nil, &Error{}), files: table{seed: binary.LittleEndian.Uint64(digest[:])}}
	return p.policy(digest)
}

// policy reads the text and makes a policy of it.
func (p *parser) policy(digest [sha256.Size]byte) (*Policy, error) {
	p.document()
	p.end()
	if len(p.err.Problems) > 0 {
		return nil, p.err
	}
	p.join()
	return &Policy{
		digest:     hex.EncodeToString(digest[:]),
		files:      p.files,
		others:     p.others(),
		excludes:   p.excludes,
		paths:      p.paths,
		violations: p.violations,
		unknown:    slices.Sorted(slices.Values(p.unknown)),
		warnings:   p.warnings,
		rules:      p.rules,
	}, nil
}

// checkText refuses what must not be read at all.
func checkText(text []byte) error {
	problems := &Error{}
	begins := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(text) > MaxPolicy:
		problems.add("", fmt.Sprintf("the policy has %d bytes, the limit is %d: give groups of machines policies of their own", len(text), MaxPolicy))
	case !utf8.Valid(text):
		problems.add("", fmt.Sprintf("line %d is not UTF-8: save the policy as UTF-8; a path of other bytes no policy can list: leave it out, and exclude it",
			1+bytes.Count(text[:invalidUTF8(text)], []byte("\n"))))
	case len(begins) == 0:
		problems.add("", "it is empty: "+beginning)
	case bytes.HasPrefix(begins, []byte("\ufeff")):
		problems.addAt("", "it begins with a byte order mark: save the policy as UTF-8 without one", 1)
	case begins[0] != '{':
		problems.addAt("", `want "{": `+beginning+"; "+converted, 1+bytes.Count(text[:len(text)-len(begins)], []byte("\n")))
	default:
		return nil
	}
	return problems
}

const (
	beginning = `a runtime policy begins with {"meta": {"version": 1}, …}`
	converted = `"quicklime-tenant policy convert" makes one of an allowlist of Keylime's`
)

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
func invalidUTF8(text []byte) int {
	n := 0
	for {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size <= 1 {
			return n
		}
		n += size
	}
}

// parser collects what a policy's text says.
type parser struct {
	*reader
	strict     bool // digests are read with the reader, whatever they look like
	version    bool // meta.version was there
	files      table
	joined     map[string]sums // of names that were added more than once
	value      [2]int          // where in the text the value of digests is, from behind its name
	excludes   []*regexp.Regexp
	program    int // size of excludes, see MaxProgram
	paths      int
	violations Violations
	unknown    []string
	warnings   []string
	rules
}

func (p *parser) document() {
	ok := p.object(func(name string) {
		switch name {
		case "meta":
			p.meta()
		case "release":
			p.number()
		case "digests":
			p.digests()
		case "excludes":
			p.exclusions()
		case "ima":
			p.ima()
		case "keyrings":
			p.keyrings = p.digestLists("keyring")
		case "ima-buf":
			p.buffers = p.digestLists("buffer")
		case "deny":
			p.denials()
		case "verification-keys":
			p.verificationKeys()
		default:
			p.unknownMember()
		}
	})
	if ok && !p.version && !p.dead {
		p.err.add("meta.version", "missing: "+beginning+"; "+converted)
	}
}

func (p *parser) meta() {
	p.object(func(name string) {
		switch name {
		case "version":
			p.version = true
			if n, ok := p.number(); ok && n != "1" {
				p.problem("%s, want 1, the one version there is; %s", quote(n.String()), converted)
			}
		case "generator":
			p.number()
		case "timestamp":
			p.str()
		default:
			p.unknownMember()
		}
	})
}

func (p *parser) digests() {
	p.value[0] = p.offset()
	if p.strict || !p.scanDigests() {
		p.readDigests()
	}
	p.value[1] = p.offset()
}

// readDigests reads digests with the reader, which tells what is wrong with them.
func (p *parser) readDigests() {
	p.object(func(path string) {
		p.paths++
		if err := checkPath([]byte(path)); err != nil {
			p.problem("%v", err)
		}
		p.list([]byte(path), p.digestList())
	})
}

func checkPath(path []byte) error {
	switch {
	case len(path) > MaxPath:
		return fmt.Errorf("a path of %d bytes, Linux has none of more than %d: take it out", len(path), MaxPath)
	case bytes.IndexByte(path, 0) >= 0:
		return errors.New("a path has no NUL byte: take it out")
	}
	return nil
}

// list adds digests for a path, and for the path that a kernel makes of it.
func (p *parser) list(path []byte, s sums) {
	p.add(path, s)
	if written := asWritten(path); !bytes.Equal(written, path) {
		p.add(written, s)
	}
}

// asWritten is the path that a kernel makes of path.
func asWritten(path []byte) []byte {
	if bytes.IndexByte(path, ' ') < 0 {
		return path
	}
	return bytes.ReplaceAll(path, []byte(" "), []byte("_"))
}

func (p *parser) add(name []byte, s sums) {
	if len(name) > MaxPath {
		return // a problem already
	}
	all, joined := p.joined[string(name)]
	listed := joined
	if !joined {
		all, listed = p.files.find(name)
	}
	n := s.len()
	if listed {
		n += all.len()
	}
	switch {
	case n > MaxDigests:
		p.problem("%d digests are listed for %s, the limit is %d: leave out those that no machine has any more", n, quote(string(name)), MaxDigests)
	case !listed:
		p.files.put(name, s)
	case len(s) > 0:
		if p.joined == nil {
			p.joined = make(map[string]sums)
		}
		p.joined[string(name)] = append(all[:len(all):len(all)], s...)
	}
}

// join puts the names that were added more than once into the table.
func (p *parser) join() {
	for _, name := range slices.Sorted(maps.Keys(p.joined)) {
		p.files.put([]byte(name), p.joined[name])
	}
}

// others returns the text with an empty object for the value of digests.
func (p *parser) others() []byte {
	if p.value[1] == 0 {
		return bytes.Clone(p.text)
	}
	return slices.Concat(p.text[:p.value[0]], []byte(":{}"), p.text[p.value[1]:])
}

// digestList reads an array of digests.
func (p *parser) digestList() (all sums) {
	p.array(func(i int) {
		text, ok := p.str()
		if !ok {
			return
		}
		var err error
		if all, err = appendHex(all, text); err != nil {
			p.problem("%v", err)
		}
	})
	return all
}

// unknownMember notes and skips a member that is no part of the format.
func (p *parser) unknownMember() {
	p.unknown = note(p.unknown, p.at.String())
	p.skip()
}

// note appends s to a list for a person to read.
func note(list []string, s string) []string {
	if len(list) == MaxReported {
		return list
	}
	return append(list, s)
}
