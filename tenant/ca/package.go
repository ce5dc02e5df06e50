package ca

import (
	"crypto/x509"
	"fmt"
	"math"
	"slices"
	"time"

	"quicklime/wire"
)

// A Package says which payload of an agent a certificate went into, and how another is
// made that takes its place.
type Package struct {
	Payload  string    `json:"payload"`             // its name
	Version  uint64    `json:"version"`             // of the payload
	Life     int64     `json:"life_seconds"`        // that was asked for
	Include  []string  `json:"include,omitempty"`   // absolute paths of what is beside it
	AcceptEK bool      `json:"accept_ek,omitempty"` // the operator vouches for the agent's EK
	SentAt   time.Time `json:"sent_at,omitzero"`    // when all of it was with the verifier; zero: that is not known
}

// InLastThird reports whether a certificate that was sent has lived for two thirds of
// the time that was left to it then.
func (e Entry) InLastThird(now time.Time) bool {
	left := e.NotAfter.Sub(e.Package.SentAt)
	return !now.Before(e.Package.SentAt.Add(left / 3 * 2))
}

// AddPackage is Add of a certificate that is to be sent as p says.
func (r *Register) AddPackage(c *x509.Certificate, names Names, p Package, now time.Time) (Entry, error) {
	if err := p.check(names.Agent); err != nil {
		return Entry{}, err
	}
	e, err := r.Add(c, names, now)
	if err != nil {
		return Entry{}, err
	}
	e.Package = &p
	r.Certificates[len(r.Certificates)-1] = e
	return e, nil
}

// A Line is the certificates that one payload of an agent has had, one after the other.
type Line struct {
	Agent   string
	Payload string
	Newest  string  // serial number of the one that was issued last
	Sent    *Entry  // of the greatest version that was sent: what the machine is to have
	Unsent  []Entry // of greater versions, which are not known to have been sent
}

// Found returns the line as it is if the verifier turns out to have a version of the
// payload, since a time, that was not known to have been sent.
func (l Line) Found(version uint64, since time.Time) (Line, bool) {
	i := slices.IndexFunc(l.Unsent, func(e Entry) bool { return e.Package.Version == version })
	if i < 0 {
		return l, false
	}
	l.add(l.Unsent[i].sent(since))
	return l, true
}

// Lines returns the lines of all payloads that have a certificate, in the order in which
// they began.
func (r *Register) Lines() (lines []Line) {
	type payload struct{ agent, name string }
	places := map[payload]int{}
	for _, e := range r.Certificates {
		if e.Package == nil {
			continue
		}
		key := payload{e.Names.Agent, e.Package.Payload}
		at, ok := places[key]
		if !ok {
			at = len(lines)
			places[key], lines = at, append(lines, Line{Agent: key.agent, Payload: key.name})
		}
		lines[at].Newest = e.Serial
		lines[at].add(e)
	}
	return lines
}

// add puts an entry where it belongs. Of two that were issued at once the one with the
// greater version is in force, whichever was entered last.
func (l *Line) add(e Entry) {
	if e.Package.SentAt.IsZero() {
		l.Unsent = append(l.Unsent, e)
	} else if l.Sent == nil || e.Package.Version > l.Sent.Package.Version {
		l.Sent = &e
	}
	if l.Sent != nil {
		l.Unsent = slices.DeleteFunc(slices.Clone(l.Unsent), func(o Entry) bool { return o.Package.Version <= l.Sent.Package.Version })
	}
}

// MarkSent notes that certificates of these serial numbers were sent, and returns them.
func (r *Register) MarkSent(at time.Time, serials ...string) (marked []Entry) {
	r.Certificates = slices.Clone(r.Certificates)
	for i, e := range r.Certificates {
		if e.Package == nil || !slices.Contains(serials, e.Serial) {
			continue
		}
		r.Certificates[i] = e.sent(at)
		marked = append(marked, r.Certificates[i])
	}
	return marked
}

func (e Entry) sent(at time.Time) Entry {
	p := *e.Package
	p.SentAt = at.UTC().Truncate(time.Second)
	e.Package = &p
	return e
}

// check refuses what no program writes.
func (p Package) check(agent string) error {
	if !wire.ValidID(agent) || !wire.ValidName(p.Payload) || p.Version == 0 || p.Life < 1 || p.Life > int64(math.MaxInt64/time.Second) {
		return fmt.Errorf("version %d of payload %q for agent %q, with a certificate for %d s", p.Version, p.Payload, agent, p.Life)
	}
	return nil
}
