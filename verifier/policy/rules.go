package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy/dm"
	"quicklime/wire/strictjson"
)

// rules are what a policy says beside the digests of files and what to exclude.
type rules struct {
	keyrings map[string]sums
	ignored  map[string]bool // keyrings; "*": all
	buffers  map[string]sums
	keys     digsig.Ring
	devices  *dm.Policy // nil: none
	deny     deny
	formats  []ima.Format
	weak     WeakDigest
}

// empty reports whether there is nothing to evaluate.
func (r *rules) empty() bool {
	return len(r.keyrings) == 0 && len(r.buffers) == 0 && len(r.keys.Keys()) == 0 && r.devices == nil && r.deny.empty()
}

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
		case "weak_digest":
			p.weak = WeakDigest(p.oneOf(string(WeakDigestFail), string(WeakDigestWarn), string(WeakDigestAccept)))
		case "templates":
			p.templates()
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
	if !slices.Contains(words, s) {
		p.problem("%s, want one of %s", quote(s), strings.Join(words, ", "))
		return ""
	}
	return s
}

func (p *parser) ignoredKeyrings() {
	p.ignored = map[string]bool{}
	p.array(func(int) {
		if name, ok := p.str(); ok {
			p.ignored[name] = true
		}
	})
}

// templates reads the custom formats that are accepted beside the kernel's own.
func (p *parser) templates() {
	p.array(func(i int) {
		text, ok := p.str()
		if !ok {
			return
		}
		f, err := ima.ParseFormat(text)
		switch {
		case i == MaxTemplates:
			p.fatal("more than %d templates: keep those that your kernels write", MaxTemplates)
		case err != nil:
			p.problem("%s: %v; write the kernel's fields with | between them, as in d-ng|n-ng|sig", quote(text), err)
		default:
			p.formats = append(p.formats, f)
		}
	})
}

// digestLists reads keyrings or ima-buf, objects of digests by name.
func (p *parser) digestLists(what string) map[string]sums {
	all := map[string]sums{}
	p.object(func(name string) {
		if name == "" || len(name) > MaxPath {
			p.problem("the name of a %s has 1 to %d bytes", what, MaxPath)
		}
		s := p.digestList()
		if s.len() > MaxDigests {
			p.problem("%d digests, the limit is %d: leave out those that no machine has any more", s.len(), MaxDigests)
			return
		}
		all[name] = s
	})
	return all
}

// deviceMapper reads ima.dm_policy, an object or null.
func (p *parser) deviceMapper() {
	text, t, ok := p.raw()
	if !ok || t == nil {
		return
	}
	if t != json.Delim('{') {
		p.problem("%s, want an object or null", strictjson.Kind(t))
		return
	}
	first := 1 + bytes.Count(p.text[:p.offset()-len(text)], []byte("\n"))
	devices, problems := dm.ParsePolicy(text)
	for _, found := range problems {
		p.err.addAt(join(p.at.String(), found.Place), found.Text, first+found.Line-1)
	}
	if devices == nil {
		return
	}
	p.devices = devices
	for _, u := range devices.Unknown() {
		p.unknown = note(p.unknown, join(p.at.String(), u))
	}
}

// join puts a place inside another.
func join(outer, inner string) string {
	if inner == "" || inner[0] == '[' {
		return outer + inner
	}
	return outer + "." + inner
}

// verificationKeys reads a string that is empty or holds a JSON object:
//
//	meta {version: int} | keyids [int, …] | pubkeys [base64 of a DER SubjectPublicKeyInfo, …]
//
// of which the second says under which id signatures name the third; 0: the one that
// the key itself has.
func (p *parser) verificationKeys() {
	text, ok := p.str()
	if !ok || text == "" {
		return
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		p.problem(`a key in PEM, want JSON in a string, as "quicklime-tenant policy create --base POLICY --verification-key KEY" writes it`)
		return
	}
	var ids []uint32
	var keys [][]byte
	inner := parser{reader: newReader([]byte(text), p.at, p.err)}
	inner.object(func(name string) {
		switch name {
		case "meta":
			inner.skip()
		case "keyids":
			inner.array(func(int) { ids = append(ids, inner.keyID()) })
		case "pubkeys":
			inner.array(func(int) { keys = append(keys, inner.base64()) })
		default:
			inner.unknownMember()
		}
	})
	inner.end()
	for _, u := range inner.unknown {
		p.unknown = note(p.unknown, u)
	}
	if len(ids) != len(keys) {
		p.problem("%d keyids for %d pubkeys: each key has its id at the same place, 0 if it has none but its own", len(ids), len(keys))
		return
	}
	for i, spki := range keys {
		p.verificationKey(i, ids[i], spki)
	}
}

func (p *parser) verificationKey(i int, id uint32, spki []byte) {
	if spki == nil {
		return // it was no base64
	}
	key, err := digsig.NewKey(id, spki)
	if err == nil && id == 0 {
		key, err = digsig.ParseKey(spki)
	}
	if err == nil {
		p.keys, err = p.keys.With(key)
	}
	if err != nil {
		p.err.add(p.at.String()+".pubkeys["+strconv.Itoa(i)+"]", err.Error()+": want the base64 of a DER SubjectPublicKeyInfo, RSA of 2048 to 4096 bits or ECDSA, "+spkiHint)
	}
}

// spkiHint says how to make what pubkeys holds of a certificate or a PEM file.
const spkiHint = `which "openssl pkey -pubin -in KEY -outform DER | base64 -w0" prints of a public key, and "openssl x509 -in CERT -pubkey -noout" gives that of a certificate`

// keyID reads the four bytes of a key's id, as a number.
func (p *parser) keyID() uint32 {
	n, ok := p.number()
	if !ok {
		return 0
	}
	id, err := strconv.ParseUint(n.String(), 10, 32)
	if err != nil {
		p.problem("%s is not the id of a key: write a number from 0 to 4294967295, or 0 for the one that the key itself has", quote(n.String()))
	}
	return uint32(id)
}

func (p *parser) base64() []byte {
	s, ok := p.str()
	if !ok {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		p.problem("%s is not base64: want a DER SubjectPublicKeyInfo in one line of it, %s", quote(s), spkiHint)
		return nil
	}
	return b
}

// deny is what a policy forbids, whatever else allows it.
type deny struct {
	digests map[string]bool // algorithm and digest, as in sums
	paths   []*regexp.Regexp
}

func (d *deny) empty() bool { return len(d.digests) == 0 && len(d.paths) == 0 }

// denials reads the member deny. What is not understood of it is refused: left out, it
// would allow what somebody meant to forbid.
func (p *parser) denials() {
	p.object(func(name string) {
		switch name {
		case "digests":
			for s := p.digestList(); len(s) > 0; {
				_, _, rest := s.next()
				if p.deny.digests == nil {
					p.deny.digests = map[string]bool{}
				}
				p.deny.digests[string(s[:len(s)-len(rest)])] = true
				s = rest
			}
		case "paths":
			p.deny.paths = p.expressions("denied paths", "nothing would be allowed: name what is forbidden")
		default:
			p.problem(`no member of "deny", which has "digests" and "paths": it would forbid nothing`)
			p.skip()
		}
	})
}

// Keyrings returns the names of the keyrings whose keys the policy lists, sorted.
func (p *Policy) Keyrings() []string { return slices.Sorted(maps.Keys(p.keyrings)) }
