package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A Register is what an authority has done: what it issued, what it revoked, and its
// last revocation list. As JSON it is a file of the authority's directory.
type Register struct {
	Version      int       `json:"version"`          // 1
	ListLife     int64     `json:"crl_life_seconds"` // of a revocation list
	List         ListState `json:"crl"`
	Certificates []Entry   `json:"certificates"` // in the order of issue
}

// ListState is which revocation list is the last.
type ListState struct {
	Number     uint64    `json:"number"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
}

// An Entry is one certificate.
type Entry struct {
	Serial    string    `json:"serial"` // 32 hexadecimal digits
	Name      string    `json:"name"`
	Names     Names     `json:"names"`
	Key       KeyKind   `json:"key"`
	SHA256    string    `json:"sha256"` // of the certificate in DER
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Reason    Reason    `json:"reason,omitempty"`
	Package   *Package  `json:"package,omitempty"` // of one that was made for a payload
}

// Revoked reports whether the certificate was revoked.
func (e Entry) Revoked() bool { return !e.RevokedAt.IsZero() }

// Expired reports whether the certificate has ended by itself.
func (e Entry) Expired(now time.Time) bool { return now.After(e.NotAfter) }

// NewRegister is the register of a new authority.
func NewRegister(listLife time.Duration) Register {
	return Register{Version: 1, ListLife: int64(listLife / time.Second), Certificates: []Entry{}}
}

// Add enters a certificate that was issued, and forgets those that ended long ago. A
// serial number is there once.
func (r *Register) Add(c *x509.Certificate, names Names, now time.Time) (Entry, error) {
	sum := sha256.Sum256(c.Raw)
	e := Entry{
		Serial: fmt.Sprintf("%0*x", serialBits/4, c.SerialNumber), Name: c.Subject.CommonName, Names: names, Key: KindOf(c.PublicKey),
		SHA256: hex.EncodeToString(sum[:]), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	if slices.ContainsFunc(r.Certificates, func(o Entry) bool { return o.Serial == e.Serial }) {
		return Entry{}, fmt.Errorf("serial number %s was given before", e.Serial)
	}
	kept := slices.DeleteFunc(slices.Clone(r.Certificates), func(o Entry) bool {
		return now.After(o.NotAfter.Add(keepExpired)) && !r.lists(o)
	})
	r.Certificates = append(kept, e)
	return e, nil
}

// lists reports whether a certificate is in the next revocation list. One that has
// expired leaves it when it was in one that was made after its end (RFC 5280, section
// 3.3).
func (r *Register) lists(e Entry) bool {
	last := r.List.ThisUpdate
	return e.Revoked() && !(e.RevokedAt.Before(last) && e.NotAfter.Before(last))
}

// Revoke marks certificates, by their places in the register. One that is marked keeps
// its date and reason.
func (r *Register) Revoke(places []int, reason Reason, now time.Time) {
	for _, i := range places {
		if e := &r.Certificates[i]; !e.Revoked() {
			e.RevokedAt, e.Reason = now.UTC().Truncate(time.Second), reason
		}
	}
}

// Find returns the places of the certificates that arg names: all certificates of a
// name, or else one serial number or all certificates of an agent's id. Of these two
// the beginning does, of at least MinDigits digits and such that no other has it.
func (r *Register) Find(arg string) (places []int) {
	var begin []int
	digits := strings.ToLower(arg)
	for i, e := range r.Certificates {
		if e.Name == arg {
			places = append(places, i)
		}
		if len(arg) >= MinDigits && (strings.HasPrefix(e.Serial, digits) || e.Name == e.Names.Agent && strings.HasPrefix(e.Name, digits)) {
			begin = append(begin, i)
		}
	}
	if places == nil && r.areOne(begin, digits) {
		return begin
	}
	return places
}

// areOne reports whether certificates of which something begins with digits are one, or
// all of one agent.
func (r *Register) areOne(places []int, digits string) bool {
	if len(places) < 2 {
		return true
	}
	first := r.Certificates[places[0]].Name
	return !slices.ContainsFunc(places, func(i int) bool {
		e := r.Certificates[i]
		return e.Name != first || strings.HasPrefix(e.Serial, digits)
	})
}

// MinDigits is the fewest digits of a serial number or an agent's id that name
// certificates.
const MinDigits = 6

// Marshal returns the register as JSON.
func (r Register) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	return append(b, '\n'), err
}

// ParseRegister reads what Marshal writes.
func ParseRegister(text []byte) (Register, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var r Register
	if err := d.Decode(&r); err != nil {
		return Register{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Register{}, errors.New("text behind the register")
	}
	if r.Version != 1 || r.ListLife < 1 {
		return Register{}, fmt.Errorf("version %d, want 1, and revocation lists live %d s", r.Version, r.ListLife)
	}
	seen := make(map[string]bool, len(r.Certificates))
	for i, e := range r.Certificates {
		if _, err := e.serial(); err != nil || seen[e.Serial] {
			return Register{}, fmt.Errorf("certificate %d: serial number %q is malformed or there twice", i, e.Serial)
		}
		if _, ok := reasons[e.Reason]; ok != e.Revoked() {
			return Register{}, fmt.Errorf("certificate %s: revoked for the reason %q", e.Serial, e.Reason)
		}
		if p := e.Package; p != nil {
			if err := p.check(e.Names.Agent); err != nil {
				return Register{}, fmt.Errorf("certificate %s: %w", e.Serial, err)
			}
		}
		seen[e.Serial] = true
	}
	return r, nil
}
