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

// evidence takes one evidence with the raw bytes behind it, has it judged,
// commits the outcome and answers.
func (s *session) evidence(ctx context.Context, ev wire.Evidence) error {
	began := time.Now()
	begun, err := s.begin(ctx, ev)
	var rejection *appraise.Rejection
	if errors.As(err, &rejection) {
		s.reject(ctx, rejection.ID, rejection.Err)
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if err != nil {
		return err
	}
	arrived, leave, err := s.turn(ctx, ev, begun)
	if err != nil {
		return err
	}
	defer leave()
	r, err := s.receive(ctx, ev, begun)
	if err != nil {
		return err
	}
	defer r.release()
	arrived()
	if from := begun.From(); begun.Resync() && s.told != from.Entries() {
		s.log.Info("asked for the list from another point", "epoch", begun.Epoch(), "first", ev.IMA.First, "want", from.Entries())
		return s.answer(ctx, begun, false)
	}
	accepted, err := s.settle(ctx, ev, begun, r)
	if err != nil {
		return err
	}
	s.logTimes(ctx, began, begun, accepted)
	if err := s.answer(ctx, begun, accepted); err != nil {
		return err
	}
	return s.covers(ctx)
}

// covers returns errRenew if the policies have come to judge PCRs that the quotes of
// this session do not cover: in the next the machine is asked for them.
func (s *session) covers(ctx context.Context) error {
	if s.standing.PlatformJudged() {
		return nil
	}
	p, err := s.server.platform(ctx, s.enrolment, s.standing)
	if errors.Is(err, store.ErrConflict) {
		return nil // the next evidence finds what is in force
	}
	if err == nil && s.plan().lacks(p) {
		return errRenew
	}
	return err
}

// question is what evidence has to answer now.
func (s *session) question() appraise.Question {
	q := appraise.Question{Exporter: s.exporter, Nonces: [][]byte{s.own.value[:]}, Selection: s.selection, Bank: s.bank}
	if s.challenge != nil {
		q.Nonces = append(q.Nonces, s.challenge.value[:])
	}
	return q
}

// begin checks the quote against the state as it is now, all of which has been
// judged by the policy in force.
func (s *session) begin(ctx context.Context, ev wire.Evidence) (*appraise.Begun, error) {
	var err error
	if s.standing, err = s.server.store.Standing(ctx, s.enrolment); err != nil {
		return nil, err
	}
	if !s.standing.JudgedInForce() {
		if s.standing, err = s.server.judgeAgain(ctx, s.enrolment); err != nil {
			return nil, err
		}
	}
	standing := s.standing.Standing
	standing.Severity = s.server.store.Severity()
	return appraise.Begin(standing, s.question(), ev)
}
