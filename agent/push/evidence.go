package push

import (
	"cmp"
	"fmt"
	"time"

	"quicklime/wire"
)

// attest sends the evidence that is most urgently due, if any is and none is in
// flight.
func (s *session) attest() error {
	switch {
	case s.flight != nil:
		return nil
	case s.challenge != nil:
		nonce := s.challenge.Nonce
		s.challenge, s.owed = nil, false
		return s.demanded(wire.TriggerChallenge, nonce)
	case s.owed:
		s.owed = false
		return s.demanded(wire.TriggerStart, s.nonce)
	case s.grown && !s.held:
		return s.growth()
	}
	return nil
}

// demanded sends evidence even if nothing is new.
func (s *session) demanded(t wire.Trigger, nonce []byte) error {
	began := time.Now()
	p, err := s.prover.prove(s.payload(t, nonce))
	if err != nil {
		return err
	}
	return s.send(p, times{trigger: t, began: began, proved: time.Now(), quoting: p.quoting})
}

// growth sends evidence if entries are new and certified. Its nonce stays unused
// if not.
func (s *session) growth() error {
	s.grown = false
	began := cmp.Or(s.noticed, time.Now())
	if err := s.cfg.List.Read(); err != nil || s.cfg.List.Unacknowledged() == 0 {
		s.noticed = time.Time{}
		return err
	}
	p, err := s.prover.prove(s.payload(wire.TriggerGrowth, s.nonce))
	if err != nil {
		return err
	}
	if p.entries.Count == 0 {
		s.quoteAgain()
		return nil
	}
	return s.send(p, times{trigger: wire.TriggerGrowth, began: began, proved: time.Now(), quoting: p.quoting})
}

// send puts evidence in flight.
func (s *session) send(p proof, t times) error {
	var boot []byte
	if s.wantBoot {
		boot = s.bootLog()
	}
	systemd, digest, err := s.systemdLog(boot)
	if err != nil {
		return err
	}
	e := p.entries
	err = s.conn.Send(wire.Evidence{
		Envelope: p.envelope, PCRs: p.pcrs,
		IMA:  wire.Span{First: e.First, Count: e.Count, Bytes: uint64(len(e.Bytes)), Padded: e.Padded},
		Boot: uint64(len(boot)), Systemd: uint64(len(systemd)),
	}, e.Bytes, boot, systemd)
	if err != nil {
		return err
	}
	t.sent = time.Now()
	s.flight = &flight{first: e.First, boot: s.wantBoot, systemd: digest, times: t}
	s.overdue = time.After(verdictTimeout)
	if e.Count > 0 {
		s.requote = requotes{}
	}
	s.again, s.grown, s.noticed = nil, false, time.Time{}
	if s.cfg.List.Unacknowledged() > e.Count {
		s.quoteAgain()
	}
	return nil
}

// quoteAgain arranges for another look at entries that the quote did not cover.
func (s *session) quoteAgain() {
	if d, ok := s.requote.next(); ok {
		s.again = time.After(d)
	}
}

// bootLog returns the boot log, or nothing if it cannot be had: what to think of
// that is the verifier's business.
func (s *session) bootLog() []byte {
	b, err := readBootLog(s.cfg.BootLog)
	if err != nil {
		s.cfg.Log.Warn("the boot log is not sent", "error", err)
	}
	return b
}

// verdict ends the flight. What it accepted, the list may forget.
func (s *session) verdict(v wire.Verdict) error {
	f := s.flight
	if f == nil {
		return protocolError("a verdict on nothing")
	}
	s.flight, s.overdue = nil, nil
	f.times.log(s.cfg.Log, v)
	s.nonce, s.wantBoot = v.Nonce, v.WantBoot
	s.trust.verdict(v)
	first, err := s.resume(v.Resume)
	if err != nil {
		return err
	}
	if v.Accepted {
		s.accepted, s.held, s.resends, s.systemd = true, false, 0, f.systemd
		return nil
	}
	return s.rejected(v, first != f.first || v.WantBoot && !f.boot)
}

// rejected sends evidence again if the verdict wants something other than what
// was sent, and once even if not, for what stood in the way may have passed.
func (s *session) rejected(v wire.Verdict, other bool) error {
	switch {
	case other && s.resends == maxResends:
		return fmt.Errorf("the verifier rejected the evidence %d times: %s", s.resends+1, v.Reason)
	case other || s.resends == 0:
		s.resends++
		s.owed = true
	default:
		s.held = true
	}
	return nil
}
