package policy

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// ima reads the member ima.
func (p *parser) ima() {
	p.object(func(name string) {
		switch name {
		case "ignored_keyrings":
			p.ignoredKeyrings()
		case "log_hash_alg":
			p.oneOf("sha1", "sha256", "sha384", "sha512")
		case "dm_policy":
			p.deviceMapper()
		case "violations":
			p.violations = Violations(p.oneOf(string(ViolationsFail), string(ViolationsWarn), string(ViolationsIgnore)))
		default:
			p.unknownMember()
		}
	})
}

// oneOf reads one of a few words; a missing one is "".
func (p *parser) oneOf(words ...string) string {
	s, ok := p.str()
	if !ok {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	p.problem("%s, want one of %s", quote(s), strings.Join(words, ", "))
	return ""
}

// skipped notes the current place as one that has contents which are not
// evaluated.
func (p *parser) skipped() { p.notEvaluated = append(p.notEvaluated, p.at.String()) }

func (p *parser) ignoredKeyrings() {
	n := 0
	p.array(func(int) {
		p.str()
		n++
	})
	if n > 0 {
		p.skipped()
	}
}

// deviceMapper reads ima.dm_policy, an object or null, whose inside is not looked
// at.
func (p *parser) deviceMapper() {
	t, ok := p.next()
	if !ok || t == nil {
		return
	}
	if kind(t) != "an object" {
		p.wrong(t, "an object or null")
		return
	}
	p.skipped()
	p.skipFrom(t)
}

// digestLists reads keyrings or ima-buf, objects of digests by name.
func (p *parser) digestLists() {
	n := 0
	p.object(func(string) {
		p.digestList()
		n++
	})
	if n > 0 {
		p.skipped()
	}
}

// verificationKeys reads a string that is empty or holds a JSON object:
//
//	meta {version: int} | keyids [int, …] | pubkeys [base64 of a DER SubjectPublicKeyInfo, …]
func (p *parser) verificationKeys() {
	text, ok := p.str()
	if !ok || text == "" {
		return
	}
	p.skipped()
	inner := parser{reader: newReader([]byte(text), p.at, p.err)}
	inner.object(func(name string) {
		switch name {
		case "meta":
			inner.skip()
		case "keyids":
			inner.array(func(int) { inner.integer() })
		case "pubkeys":
			inner.array(func(int) { inner.base64() })
		default:
			inner.unknownMember()
		}
	})
	inner.end()
	for _, u := range inner.unknown {
		p.unknown = note(p.unknown, u)
	}
}

var integer = regexp.MustCompile(`^-?[0-9]+$`)

func (p *parser) integer() {
	if n, ok := p.number(); ok && !integer.MatchString(n.String()) {
		p.problem("%s is not an integer", quote(n.String()))
	}
}

func (p *parser) base64() {
	s, ok := p.str()
	if !ok {
		return
	}
	if _, err := base64.StdEncoding.DecodeString(s); err != nil {
		p.problem("%s is not base64", quote(s))
	}
}
