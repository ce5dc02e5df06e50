package session

import (
	"context"
	"errors"

	"quicklime/verifier/appraise"
	"quicklime/wire"
)

// used returns the nonce that the evidence answers.
func (s *session) used(b *appraise.Begun) nonce {
	if s.challenge != nil && string(b.Nonce()) == string(s.challenge.value[:]) {
		return *s.challenge
	}
	return s.own
}

// answer sends the verdict, with the nonce for the next evidence. Each nonce
// counts once.
func (s *session) answer(ctx context.Context, b *appraise.Begun, accepted bool) error {
	used := s.used(b)
	if challenged := s.challenge != nil && used == *s.challenge; challenged || s.trust == "" {
		s.challenge = nil
		s.schedule(used)
		s.hurry()
	}
	var err error
	if s.own, err = s.server.newNonce(ctx); err != nil {
		return err
	}
	trust, reason, err := s.verdict(ctx)
	if err != nil {
		return err
	}
	if trust != s.trust {
		s.log.Info("trust", "was", s.trust, "is", trust, "reason", reason, "entries", s.standing.Resume.Entries())
		s.trust = trust
	}
	s.payloads.judged(trust)
	resume := s.resume()
	if b.New() && !accepted {
		resume = wire.Resume{} // another boot: the list from its beginning
	}
	s.told = resume.Entries
	err = s.conn.Send(wire.Verdict{
		Accepted: accepted, Trust: trust, Reason: reason, Failures: s.standing.Failures,
		Nonce: s.own.value[:], Resume: resume, WantBoot: !s.standing.HaveBoot || b.New() && !accepted,
	})
	return errors.Join(err, s.release())
}

// verdict returns the agent's trust as anybody would be told it now, and the
// newest reason against it.
func (s *session) verdict(ctx context.Context) (wire.Trust, wire.FailureID, error) {
	a, err := s.server.store.Agent(ctx, s.enrolment.Agent)
	if err != nil || s.standing.Failures == 0 {
		return a.Trust, "", err
	}
	reason, err := s.server.store.NewestFailure(ctx, s.enrolment)
	return a.Trust, reason, err
}

// reject records evidence that proved nothing. That it cannot be recorded is
// only logged: the session ends either way.
func (s *session) reject(ctx context.Context, id wire.FailureID, cause error) {
	s.rejected = true
	s.log.Warn("evidence rejected", "id", id, "cause", cause)
	if err := s.server.store.Reject(ctx, s.enrolment, id, cause.Error()); err != nil {
		s.log.Error("rejection not recorded", "error", err)
	}
}
