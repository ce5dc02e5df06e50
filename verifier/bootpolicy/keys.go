package bootpolicy

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"quicklime/verifier/eventlog"
)

// keys are entries of a signature database.
type keys struct {
	named bool // the member was there
	all   map[key]bool
}

type key struct {
	owner eventlog.GUID
	data  string
}

// has reports whether the entry is listed; of an entry without an owner the data
// decides.
func (k keys) has(s eventlog.Signature) bool {
	if k.all[key{s.Owner, string(s.Data)}] {
		return true
	}
	if s.Owner != (eventlog.GUID{}) {
		return false
	}
	for one := range k.all {
		if one.data == string(s.Data) {
			return true
		}
	}
	return false
}

func (k keys) shown() (all []string) {
	for one := range k.all {
		all = append(all, one.String())
	}
	slices.Sort(all)
	return all
}

// String names a key: its owner and the SHA-256 of its data, or the data if it is as
// short.
func (k key) String() string {
	if len(k.data) <= sha256.Size {
		return fmt.Sprintf("%v %x", k.owner, k.data)
	}
	return fmt.Sprintf("%v %d bytes with SHA-256 %x", k.owner, len(k.data), sha256.Sum256([]byte(k.data)))
}

func signature(s eventlog.Signature) string { return key{s.Owner, string(s.Data)}.String() }

func (p *parser) keysOf(v *value) keys {
	k := keys{named: true, all: map[key]bool{}}
	p.array(v, eventlog.MaxSignatures, func(e *value) {
		var one key
		p.object(e, func(name string, m *value) {
			switch name {
			case "SignatureOwner":
				one.owner = p.guid(m)
			case "SignatureData":
				b, _ := p.hex(m, 0)
				one.data = string(b)
			default:
				p.unknownMember(m)
			}
		})
		if e.Kind() == "an object" && !(e.Has("SignatureOwner") && e.Has("SignatureData")) {
			p.problem(e, "a key has SignatureOwner, a GUID, and SignatureData, \"0x…\"")
		}
		k.all[one] = true
	})
	return k
}
