package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/payload"
)

// payloads is what a session knows of its agent's payloads.
//
// A share is released by evidence that answers a challenge, and only if the agent
// had asked before the challenge was made: so the evidence shows the machine as it
// is after it asked, and cannot have been made before (I27).
type payloads struct {
	changed  chan struct{}            // holds a signal if they have changed since they were offered
	due      bool                     // they are to be offered
	told     bool                     // they were, in this session
	open     bool                     // the agent is trusted: it gets what it wants
	offered  map[string]store.Payload // what it may want, by name
	asked    []store.Asked            // since the last challenge was made
	waiting  []store.Asked            // before the outstanding challenge was made: for its answer
	released []wire.Release           // by the last commit: they follow its verdict
	hurried  time.Time                // when asking last brought a challenge forward
	said     int                      // receipts and refusals in the minute that began at since
	since    time.Time
}

// challenged notes that a challenge was made.
func (p *payloads) challenged() { p.waiting, p.asked = p.asked, nil }

// answered returns what evidence may release, which does or does not answer the
// outstanding challenge.
func (p *payloads) answered(challenge bool) []store.Asked {
	if !challenge {
		return nil
	}
	return p.waiting
}

// PayloadsChanged has an agent offered what there is for it now.
func (s *Server) PayloadsChanged(agent string) {
	s.mu.Lock()
	l, ok := s.live[agent]
	s.mu.Unlock()
	if !ok {
		return
	}
	select {
	case l.payloads <- struct{}{}:
	default: // a signal waits already
	}
	l.conn.Wake()
}

// judged notes what the agent is told of its trust. Only while it is trusted what it
// wants counts, and what it asked for before does not count after; but what was
// withdrawn it is told in any case.
func (p *payloads) judged(trust wire.Trust) {
	open := trust == wire.Trusted
	p.due = p.due || !p.told || open && !p.open
	if p.open = open; !open {
		p.offered, p.asked = nil, nil
	}
}

// offer offers the agent what there is for it, once it is judged, when it comes to be
// trusted, and when that has changed.
func (s *session) offer(ctx context.Context) error {
	p := &s.payloads
	select {
	case <-p.changed:
		p.due = p.due || p.told // else its first verdict is still to come
	default:
	}
	if !p.due {
		return nil
	}
	p.due, p.told = false, true
	all, ever, err := s.server.store.Payloads(ctx, s.enrolment)
	if err != nil {
		return err
	}
	p.offered = map[string]store.Payload{}
	m := wire.Offers{Offers: []wire.Offer{}}
	for _, one := range all {
		if p.open {
			p.offered[one.Name] = one
		}
		m.Offers = append(m.Offers, one.Offer)
	}
	if !ever {
		return nil
	}
	return s.conn.Send(m)
}

// offering returns the version of a payload that the agent was offered.
func (s *session) offering(name string, version uint64) (store.Payload, bool) {
	o, ok := s.payloads.offered[name]
	return o, ok && o.Version == version
}

// fetch sends a part of a ciphertext.
func (s *session) fetch(ctx context.Context, m wire.Fetch) error {
	o, ok := s.offering(m.Name, m.Version)
	if !ok {
		return nil // it is not offered any more, which the agent is told
	}
	b, err := s.server.store.PayloadPart(ctx, o.ID, m.Offset, m.Bytes)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		if m.Offset >= o.Size {
			return fmt.Errorf("%w: payload %s has %d bytes, and it wants those from %d on", errProtocol, m.Name, o.Size, m.Offset)
		}
		return nil // withdrawn just now
	}
	return s.conn.Send(wire.Chunk{Name: m.Name, Version: m.Version, Offset: m.Offset, Bytes: uint64(len(b))}, b)
}

// ask notes that the agent wants the share of a key, and challenges it soon.
func (s *session) ask(ctx context.Context, m wire.Ask) error {
	o, ok := s.offering(m.Name, m.Version)
	if !ok {
		return nil
	}
	now, err := s.server.store.Now(ctx)
	if err != nil {
		return err
	}
	for _, a := range s.payloads.asked {
		if a.Payload == o.ID {
			return nil
		}
	}
	s.payloads.asked = append(s.payloads.asked, store.Asked{Payload: o.ID, Epoch: s.standing.EpochID, At: now})
	s.hurry()
	return nil
}

// hurry brings the next challenge forward, if the agent has asked for a share and is
// not challenged anyway: not more often than askGap, whatever it asks for.
func (s *session) hurry() {
	p := &s.payloads
	if len(p.asked) == 0 || s.challenge != nil {
		return
	}
	soon := time.Now()
	if next := p.hurried.Add(askGap); next.After(soon) {
		soon = next
	}
	if soon.Before(s.due) {
		s.due = soon
	}
	p.hurried = soon
}

// release sends what the verdict's transaction released.
func (s *session) release() error {
	p := &s.payloads
	if s.challenge == nil {
		p.waiting = nil
	}
	all := p.released
	p.released = nil
	for _, r := range all {
		s.log.Info("the verifier's share of a payload's key was released", "payload", r.Name, "version", r.Version)
		if err := s.conn.Send(r); err != nil {
			return err
		}
	}
	return nil
}

// says counts what the agent says became of payloads, each of which is a write.
func (p *payloads) says() error {
	if now := time.Now(); now.Sub(p.since) >= time.Minute {
		p.said, p.since = 0, now
	}
	if p.said++; p.said > maxReceipts {
		return fmt.Errorf("%w: more than %d receipts in a minute", errProtocol, maxReceipts)
	}
	return nil
}

// receipt keeps what the agent says became of a payload.
func (s *session) receipt(ctx context.Context, m wire.Receipt) error {
	o, err := payload.ReadReceipt(m.Receipt)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	// An agent says each again whenever what it is offered changes.
	if kept, err := s.server.store.ReceiptKept(ctx, s.enrolment, o, m.Receipt); err != nil || kept {
		return err
	}
	if err := s.payloads.says(); err != nil {
		return err
	}
	s.log.Info("receipt of a payload", "payload", o.Name, "version", o.Version, "state", string(o.State))
	return s.known(s.server.store.KeepReceipt(ctx, s.enrolment, m.Receipt))
}

// refused keeps why the agent does not open a payload.
func (s *session) refused(ctx context.Context, m wire.PayloadRefusal) error {
	if err := s.payloads.says(); err != nil {
		return err
	}
	s.log.Warn("the agent refuses a payload", "payload", m.Name, "version", m.Version, "reason", m.Reason)
	return s.known(s.server.store.KeepRefusal(ctx, s.enrolment, m))
}

// known is err, but for one about a payload that is not there any more. If the
// enrolment has ended, the session is told by others.
func (s *session) known(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
