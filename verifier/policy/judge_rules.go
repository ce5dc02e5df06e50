package policy

import (
	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy/dm"
	"quicklime/wire/pcr"
)

// Denial says what of a file or buffer a policy forbids.
type Denial uint8

// The denials. The zero Denial forbids nothing.
const (
	DeniedNothing Denial = iota
	DeniedDigest
	DeniedPath
)

// Denies reports what the policy forbids of a file or buffer, whatever allows it: a
// listed digest, an exclusion, a good signature, or a keyring that is ignored.
func (p *Policy) Denies(name []byte, algorithm pcr.Bank, digest []byte) Denial {
	if p.deny.empty() {
		return DeniedNothing
	}
	if p.deny.digests[string(appendSum(nil, algorithm, digest))] {
		return DeniedDigest
	}
	for _, x := range p.deny.paths {
		if x.Match(name) {
			return DeniedPath
		}
	}
	return DeniedNothing
}

// appendSum appends a digest as it stands in sums, or nothing if the algorithm is
// none that a policy can name.
func appendSum(s sums, algorithm pcr.Bank, digest []byte) sums {
	for i, bank := range pcr.Banks {
		if bank == algorithm {
			return append(append(s, byte(i)), digest...)
		}
	}
	return s
}

// IgnoresKeyring reports whether nobody is to judge or learn what is loaded into a
// keyring.
func (p *Policy) IgnoresKeyring(name []byte) bool { return p.ignored["*"] || p.ignored[string(name)] }

// HasKeyring reports whether the policy lists keys of a keyring.
func (p *Policy) HasKeyring(name []byte) bool {
	_, ok := p.keyrings[string(name)]
	return ok
}

// HasBuffer reports whether the policy lists digests of a buffer that is no key.
func (p *Policy) HasBuffer(name []byte) bool {
	_, ok := p.buffers[string(name)]
	return ok
}

// JudgeKey judges a key that is loaded into a keyring by the digest of its
// certificate.
func (p *Policy) JudgeKey(keyring []byte, algorithm pcr.Bank, digest []byte) Decision {
	return judgeListed(p.keyrings, keyring, algorithm, digest)
}

// JudgeBuffer judges a buffer that is no key by its digest.
func (p *Policy) JudgeBuffer(name []byte, algorithm pcr.Bank, digest []byte) Decision {
	return judgeListed(p.buffers, name, algorithm, digest)
}

func judgeListed(all map[string]sums, name []byte, algorithm pcr.Bank, digest []byte) Decision {
	s, listed := all[string(name)]
	switch {
	case listed && s.has(algorithm, digest):
		return Decision{Verdict: Allowed}
	case listed:
		shown, more := s.show(MaxExpected)
		return Decision{Verdict: WrongDigest, Expected: shown, More: more}
	}
	return Decision{Verdict: NotInPolicy}
}

// Keys returns the keys whose signature vouches for a file.
func (p *Policy) Keys() digsig.Ring { return p.keys }

// Devices returns the policy for device-mapper events; nil if there is none.
func (p *Policy) Devices() *dm.Policy { return p.devices }

// Formats returns the custom templates that are accepted beside the kernel's own.
func (p *Policy) Formats() []ima.Format { return p.formats }

// WeakDigest returns what a bank means that a kernel extends with padded SHA-1.
func (p *Policy) WeakDigest() WeakDigest {
	if p.weak == "" {
		return WeakDigestFail
	}
	return p.weak
}
