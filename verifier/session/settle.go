package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/wire"
)

// settle judges the evidence and commits the outcome, again if the state moves
// meanwhile. It reports whether the evidence was accepted.
func (s *session) settle(ctx context.Context, ev wire.Evidence, b *appraise.Begun, r *received) (bool, error) {
	for range maxTries {
		if s.overtaken(b) {
			s.log.Info("evidence was overtaken by newer", "epoch", b.Epoch(), "clock", b.Quote().Clock(), "newer", s.standing.Clock)
			return false, nil
		}
		accepted, err := s.commit(ctx, ev, b, r)
		if !errors.Is(err, store.ErrConflict) {
			return accepted, err
		}
		again, err := s.begin(ctx, ev)
		if err != nil {
			return false, err // it was good before: the keys or the nonce went away
		}
		if again.From() != b.From() {
			return false, nil // another session went on with the list: the verdict says from where
		}
		b = again
	}
	return false, fmt.Errorf("the state of %s moved %d times while one evidence was judged", s.enrolment.Agent, maxTries)
}

// overtaken reports whether counters or clock are behind those of evidence of
// another session, here or at another verifier, that was accepted after the nonce
// was issued: then the quote may just be the older one. Behind a nonce that is newer
// than what was accepted it is a rollback, and so it is if that happens again and
// again.
func (s *session) overtaken(b *appraise.Begun) bool {
	own := s.standing.AttestedAt.Equal(s.accepted)
	if !b.Behind() || own || !s.used(b).issued.Before(s.standing.AttestedAt) || s.late == maxTries {
		return false
	}
	s.late++
	return true
}

func (s *session) commit(ctx context.Context, ev wire.Evidence, b *appraise.Begun, r *received) (bool, error) {
	began := time.Now()
	o, err := s.judge(ctx, b, r)
	if err != nil {
		return false, err
	}
	s.judged = time.Now()
	before := s.standing
	if !o.Accepted {
		s.standing, err = s.server.store.Fail(ctx, s.enrolment, s.standing, o.Result)
		if err == nil {
			s.server.raised(ctx, s.enrolment, before, s.standing)
		}
		return false, err
	}
	if err := s.keep(ctx, r); err != nil {
		return false, err
	}
	logs, err := s.logs(ctx, b, r)
	if err != nil {
		return false, err
	}
	opinion, err := s.server.opinion(ctx, s.enrolment, s.standing, b, logs, func(p appraise.Platform) bool { return !s.plan().lacks(p) })
	if err != nil {
		return false, err
	}
	used := s.used(b)
	question := s.question()
	question.Nonces = [][]byte{used.value[:]}
	s.standing, s.payloads.released, err = s.server.store.CommitAsked(ctx, s.enrolment, s.standing, store.Accepted{
		Begun: b, Outcome: o, Entries: r.entries, Logs: logs, Opinion: opinion,
		Evidence:    store.Evidence{Envelope: ev.Envelope, PCRs: ev.PCRs, Question: question},
		NonceIssued: used.issued, TrustedUntil: used.issued.Add(s.server.timing.Trust()), Replay: r.elapsed + s.judged.Sub(began),
	}, s.payloads.answered(s.challenge != nil && used == *s.challenge))
	if err == nil {
		s.late, s.accepted = 0, s.standing.AttestedAt
		s.server.raised(ctx, s.enrolment, before, s.standing)
	}
	return err == nil, err
}

// logs are those that came with the evidence, or else, of a machine that was suspended,
// those that it sent before: it is not asked for them again.
func (s *session) logs(ctx context.Context, b *appraise.Begun, r *received) (appraise.Logs, error) {
	l := r.logs
	if !b.Resumed() || !s.standing.HaveBoot || l.Boot != nil && l.Systemd != nil {
		return l, nil
	}
	before, err := s.server.store.BootLogs(ctx, s.standing)
	if errors.Is(err, store.ErrNotFound) {
		return l, store.ErrConflict // the state has moved
	}
	if l.Boot == nil {
		l.Boot = before.Boot
	}
	if l.Systemd == nil {
		l.Systemd = before.Systemd
	}
	return l, err
}

// keep stores the entries of a certified list, and again if some of them were
// collected before the verdict was committed. If they were collected before they were
// asked for, the agent has to come again.
func (s *session) keep(ctx context.Context, r *received) (err error) {
	r.entries, err = s.server.store.AddEntries(ctx, r.list)
	return err
}

// judge gives the verdict on evidence whose list begins where it should, or
// elsewhere although the agent was told. If another policy came into force while
// the list arrived, it judges the entries again.
func (s *session) judge(ctx context.Context, b *appraise.Begun, r *received) (appraise.Outcome, error) {
	if b.Resync() {
		return b.Elsewhere(), nil
	}
	o := r.appraisal.Outcome(b)
	if !o.Accepted || o.Result.Runtime == s.standing.InForce {
		return o, nil
	}
	p, err := s.server.policy(ctx, s.standing.InForce)
	if err != nil {
		return o, err
	}
	if err := s.keep(ctx, r); err != nil {
		return o, err
	}
	from := b.From()
	r.appraisal.Begin(b, p)
	if err := s.server.store.VisitSequence(ctx, r.entries, from.Entries(), r.appraisal); err != nil {
		return o, err
	}
	return r.appraisal.Outcome(b), nil
}
