package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse reads and compiles a policy. The error is an *Error with every problem
// found. Parse keeps nothing of text.
func Parse(text []byte) (*Policy, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	problems := &Error{}
	p := parser{reader: newReader(text, nil, problems), files: make(map[string]sums)}
	p.document()
	p.end()
	if len(problems.Problems) > 0 {
		return nil, problems
	}
	sum := sha256.Sum256(text)
	return &Policy{
		digest:     hex.EncodeToString(sum[:]),
		files:      newTable(p.files),
		excludes:   p.excludes,
		paths:      p.paths,
		violations: p.violations,
		unknown:    slices.Sorted(slices.Values(p.unknown)),
		warnings:   p.warnings,
		members:    p.members,
	}, nil
}

// checkText refuses what must not be read at all.
func checkText(text []byte) error {
	problems := &Error{}
	switch {
	case len(text) > MaxPolicy:
		problems.add("", fmt.Sprintf("the policy has %d bytes, the limit is %d: give groups of machines policies of their own", len(text), MaxPolicy))
	case !utf8.Valid(text):
		problems.add("", fmt.Sprintf("line %d is not UTF-8", 1+bytes.Count(text[:invalidUTF8(text)], []byte("\n"))))
	default:
		return nil
	}
	return problems
}

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
	version    bool // meta.version was there
	files      map[string]sums
	excludes   []*regexp.Regexp
	program    int // size of excludes, see MaxProgram
	paths      int
	violations Violations
	unknown    []string
	warnings   []string
	members
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
		p.err.add("meta.version", "missing: a runtime policy begins with {\"meta\": {\"version\": 1}, …}")
	}
}

func (p *parser) meta() {
	p.object(func(name string) {
		switch name {
		case "version":
			p.version = true
			if n, ok := p.number(); ok && n != "1" {
				p.problem("%s, want 1, the one version there is", quote(n.String()))
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
	p.object(func(path string) {
		p.paths++
		switch {
		case len(path) > MaxPath:
			p.problem("a path of %d bytes, Linux has none of more than %d", len(path), MaxPath)
		case strings.ContainsRune(path, 0):
			p.problem("a path has no NUL byte")
		}
		p.list(path, p.digestList())
	})
}

// list adds digests for a path, and for the path that a kernel makes of it.
func (p *parser) list(path string, s sums) {
	p.add(path, s)
	if written := strings.ReplaceAll(path, " ", "_"); written != path {
		p.add(written, s)
	}
}

func (p *parser) add(name string, s sums) {
	all := append(p.files[name], s...)
	if all.len() > MaxDigests {
		p.problem("%d digests are listed for %s, the limit is %d", all.len(), quote(name), MaxDigests)
		return
	}
	p.files[name] = all
}

// digestList reads an array of digests.
func (p *parser) digestList() (all sums) {
	p.array(func(i int) {
		text, ok := p.str()
		if !ok {
			return
		}
		var err error
		if all, err = all.appendHex(text); err != nil {
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
