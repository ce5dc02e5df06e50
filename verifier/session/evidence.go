package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
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

// turn waits until there is room for the announced list, and returns what notes
// that it has arrived, and what gives the room back. A list that is only read past
// needs none.
func (s *session) turn(ctx context.Context, ev wire.Evidence, b *appraise.Begun) (arrived, leave func(), err error) {
	if b.Resync() {
		return func() {}, func() {}, nil
	}
	p, err := s.server.room.take(ctx, s.enrolment.ID, int64(ev.IMA.Bytes))
	return p.arrived, p.leave, err
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

// received is what was made of the raw bytes of one evidence.
type received struct {
	appraisal *appraise.Appraisal // nil: the list was only read past
	list      *store.Collection
	entries   store.Sequence // of list, once it is stored
	logs      appraise.Logs
	elapsed   time.Duration // of the replay, with the judging
}

// appraisals are shared by the sessions, which wait for the next evidence most of the
// time.
var appraisals = sync.Pool{New: func() any { return new(appraise.Appraisal) }}

// release gives the appraisal back, and with it what it holds of the evidence.
func (r *received) release() {
	if r.appraisal == nil {
		return
	}
	*r.appraisal = appraise.Appraisal{}
	appraisals.Put(r.appraisal)
	r.appraisal = nil
}

// receive replays and judges the list while it arrives, by the policy that is in
// force when it begins to.
func (s *session) receive(ctx context.Context, ev wire.Evidence, b *appraise.Begun) (*received, error) {
	r := &received{}
	raw := s.conn.Raw(ev.IMA.Bytes+ev.Boot+ev.Systemd, 0)
	if b.Resync() {
		_, err := io.Copy(io.Discard, raw)
		return r, err
	}
	p, err := s.server.policy(ctx, s.standing.InForce)
	if errors.Is(err, store.ErrConflict) {
		p, err = nil, nil // what it is in its place, settle finds
	}
	if err != nil {
		return r, err
	}
	r.list = s.server.store.Collect()
	r.appraisal = appraisals.Get().(*appraise.Appraisal)
	r.appraisal.Begin(b, p, r.list)
	if _, err := io.Copy(timed{r.appraisal, &r.elapsed}, io.LimitReader(raw, int64(ev.IMA.Bytes))); err != nil {
		return r, err
	}
	if r.logs.Boot, err = readLog(raw, ev.Boot); err != nil {
		return r, err
	}
	r.logs.Systemd, err = readLog(raw, ev.Systemd)
	return r, err
}

// readLog reads a log of n bytes, nil if it has none.
func readLog(r io.Reader, n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(r, int64(n))) // Check has bounded it
}

// timed takes the time that a writer takes.
type timed struct {
	w       io.Writer
	elapsed *time.Duration
}

func (t timed) Write(p []byte) (int, error) {
	began := time.Now()
	defer func() { *t.elapsed += time.Since(began) }()
	return t.w.Write(p)
}

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
