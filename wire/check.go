package wire

import (
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"quicklime/wire/pcr"
)

// ErrMalformed says that bytes are no message of this protocol.
var ErrMalformed = errors.New("malformed message")

// A rule is one thing that must hold of a message, and what to say if it does
// not.
type rule struct {
	holds bool
	what  string
}

func check(name string, rules ...rule) error {
	for _, r := range rules {
		if !r.holds {
			return fmt.Errorf("%w: %s: %s", ErrMalformed, name, r.what)
		}
	}
	return nil
}

func between(b []byte, low, high int) bool { return len(b) >= low && len(b) <= high }

// Printable reports whether s is at most max bytes of printable UTF-8 without
// line breaks: safe to show on a terminal and in a log.
func Printable(s string, max int) bool {
	if len(s) > max || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// ValidID reports whether s is an agent id: 64 lower-case hexadecimal digits
// (I03).
func ValidID(s string) bool { return len(s) == 64 && isHex(s) }

// ValidTokenID reports whether s is the id of a join token: 16 lower-case
// hexadecimal digits (I03).
func ValidTokenID(s string) bool { return len(s) == 16 && isHex(s) }

// ValidName reports whether s can name a policy: 1 to 64 of a–z, A–Z, 0–9, '.',
// '_' and '-', the first a letter or digit (I03).
func ValidName(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Check implements Message.
func (m Hello) Check() error {
	return check("hello",
		rule{m.Version == ProtocolVersion, fmt.Sprintf("version %d, want %d", m.Version, ProtocolVersion)},
		rule{Printable(m.Software, MaxVersion), "software"},
		rule{distinctBanks(m.Banks), "banks"},
		rule{m.Aggregate == 0 || m.Aggregate.Known(), "bank of boot_aggregate"})
}

// distinctBanks reports whether each bank is one that the protocol knows, and
// named once.
func distinctBanks(banks []pcr.Bank) bool {
	for i, b := range banks {
		if !b.Known() || slices.Contains(banks[:i], b) {
			return false
		}
	}
	return true
}

// check reports whether the point is one: the list's beginning, or in an epoch.
func (m Resume) check() bool { return len(m.Epoch) == 0 && m.Entries == 0 || len(m.Epoch) == 32 }

// Check implements Message.
func (m Welcome) Check() error {
	return check("welcome",
		rule{m.Version == ProtocolVersion, fmt.Sprintf("version %d, want %d", m.Version, ProtocolVersion)},
		rule{len(m.Nonce) == NonceSize, "nonce"},
		rule{len(m.Selection) > 0 && m.Selection.Check() == nil, "selection"},
		rule{m.IMABank.Known(), "bank"},
		rule{m.Session > 0, "session"},
		rule{m.Resume.check(), "resume"})
}

// Check implements Message.
func (m Evidence) Check() error {
	return check("evidence",
		rule{between(m.Envelope, 1, MaxEnvelope), "envelope"},
		rule{len(m.PCRs) <= len(pcr.Banks)*pcr.Count, "PCR values"},
		rule{m.IMA.Bytes <= MaxList, "list"},
		rule{m.IMA.Count <= m.IMA.Bytes, "count of entries"},
		rule{m.Boot <= MaxBootLog, "boot log"},
		rule{m.Systemd <= MaxSystemdLog, "systemd's log"})
}

// Check implements Message.
func (m Verdict) Check() error {
	return check("verdict",
		rule{len(m.Nonce) == NonceSize, "nonce"},
		rule{m.Trust.known(), "trust"},
		rule{Printable(string(m.Reason), MaxLabel), "reason"},
		rule{m.Resume.check(), "resume"})
}

func (t Trust) known() bool {
	return slices.Contains([]Trust{Pending, Trusted, Untrusted, Stale, Unjudged}, t)
}

// Check implements Message.
func (m Challenge) Check() error {
	return check("challenge", rule{len(m.Nonce) == NonceSize, "nonce"})
}

// Check implements Message.
func (m Alive) Check() error {
	return check("alive", rule{m.Padding == [AlivePadding]byte{}, "padding"})
}

// Check implements Message.
func (m Register) Check() error {
	err := check("register",
		rule{m.Version == ProtocolVersion, fmt.Sprintf("version %d, want %d", m.Version, ProtocolVersion)},
		rule{Printable(m.Software, MaxVersion), "software"},
		rule{Printable(m.Label, MaxLabel), "label"},
		rule{m.TokenID == "" || ValidTokenID(m.TokenID), "token id"},
		rule{len(m.TokenSecret) == 0 || len(m.TokenSecret) == 32, "token secret"},
		rule{between(m.EKPublic, 1, MaxPublic), "EK"},
		rule{between(m.AKPublic, 1, MaxPublic), "AK"},
		rule{between(m.Transport, 1, MaxPublic), "transport key"},
		rule{between(m.Certify, 1, MaxPublic), "certification"},
		rule{between(m.Signature, 1, MaxPublic), "signature"},
		rule{len(m.EKCertificates) <= MaxEKCertificates, "EK certificates"})
	for _, c := range m.EKCertificates {
		err = errors.Join(err, check("register", rule{between(c, 1, MaxCertificate), "EK certificate"}))
	}
	return err
}

// Check implements Message.
func (m Credential) Check() error {
	return check("credential",
		rule{between(m.Object, 1, MaxPublic), "object"},
		rule{between(m.Secret, 1, MaxPublic), "secret"})
}

// Check implements Message.
func (m Proof) Check() error { return check("proof", rule{len(m.HMAC) == 32, "HMAC"}) }

// Check implements Message.
func (m Registered) Check() error {
	return check("registered",
		rule{ValidID(m.ID), "id"},
		rule{m.Outcome == OutcomeNew || m.Outcome == OutcomeSame || m.Outcome == OutcomeOtherKeys, "outcome"})
}

// Check implements Message.
func (m Refused) Check() error {
	return check("refused", rule{Printable(string(m.Why), MaxVersion), "reason"})
}
