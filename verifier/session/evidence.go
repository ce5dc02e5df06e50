package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/channel"
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
	r, err := receive(s.conn, ev, begun)
	if err != nil {
		return err
	}
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
	return s.answer(ctx, begun, accepted)
}

// turn waits until there is room for the announced list, and returns what notes
// that it has arrived, and what gives the room back. A list that is only read past
// needs none.
func (s *session) turn(ctx context.Context, ev wire.Evidence, b appraise.Begun) (arrived, leave func(), err error) {
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
func (s *session) begin(ctx context.Context, ev wire.Evidence) (appraise.Begun, error) {
	var err error
	if s.standing, err = s.server.store.Standing(ctx, s.enrolment); err != nil {
		return appraise.Begun{}, err
	}
	if !s.standing.JudgedInForce() {
		if s.standing, err = s.server.judgeAgain(ctx, s.enrolment); err != nil {
			return appraise.Begun{}, err
		}
	}
	return appraise.Begin(s.standing.Standing, s.question(), ev)
}

// received are the raw bytes of one evidence.
type received struct {
	list     ima.Replayed
	err      error // of the replay: what the list is, not how it came
	boot     []byte
	replayed time.Duration
}

// receive replays the list while it arrives.
func receive(c *channel.Conn, ev wire.Evidence, b appraise.Begun) (received, error) {
	var r received
	raw := c.Raw(ev.IMA.Bytes+ev.Boot, 0)
	if b.Resync() {
		_, err := io.Copy(io.Discard, raw)
		return r, err
	}
	stream := &timedStream{stream: ima.NewStream(b.From())}
	if _, err := io.Copy(stream, io.LimitReader(raw, int64(ev.IMA.Bytes))); err != nil {
		return r, err
	}
	boot, err := io.ReadAll(raw)
	if err != nil {
		return r, err
	}
	if ev.Boot > 0 {
		r.boot = boot
	}
	r.replayed = stream.elapsed
	if r.err = stream.err; r.err == nil {
		r.list, r.err = stream.stream.Finish()
	}
	from, to := r.list.From(), r.list.To()
	if n := to.Entries() - from.Entries(); r.err == nil && n != ev.IMA.Count {
		r.err = fmt.Errorf("%w: %d entries were announced, %d came", ima.ErrMalformed, ev.IMA.Count, n)
	}
	return r, nil
}

// timedStream replays what is written to it and takes the time. Once the list is
// malformed it swallows the rest, which has to be read all the same.
type timedStream struct {
	stream  *ima.Stream
	err     error
	elapsed time.Duration
}

func (t *timedStream) Write(p []byte) (int, error) {
	if t.err == nil {
		began := time.Now()
		_, t.err = t.stream.Write(p)
		t.elapsed += time.Since(began)
	}
	return len(p), nil
}

// settle judges the evidence and commits the outcome, again if the state moves
// meanwhile. It reports whether the evidence was accepted.
func (s *session) settle(ctx context.Context, ev wire.Evidence, b appraise.Begun, r received) (bool, error) {
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
func (s *session) overtaken(b appraise.Begun) bool {
	own := s.standing.AttestedAt.Equal(s.accepted)
	if !b.Behind() || own || !s.used(b).issued.Before(s.standing.AttestedAt) || s.late == maxTries {
		return false
	}
	s.late++
	return true
}

func (s *session) commit(ctx context.Context, ev wire.Evidence, b appraise.Begun, r received) (bool, error) {
	p, err := s.server.policy(ctx, s.standing.InForce)
	if err != nil {
		return false, err
	}
	began := time.Now()
	o := judge(b, r, p)
	s.judged = time.Now()
	if !o.Accepted {
		s.standing, err = s.server.store.Fail(ctx, s.enrolment, s.standing, o.Result)
		return false, err
	}
	entries, err := s.server.store.AddEntries(ctx, collect(s.server.store, o))
	if err != nil {
		return false, err
	}
	used := s.used(b)
	question := s.question()
	question.Nonces = [][]byte{used.value[:]}
	s.standing, err = s.server.store.Commit(ctx, s.enrolment, s.standing, store.Accepted{
		Begun: b, Outcome: o, Entries: entries, Boot: r.boot,
		Evidence:    store.Evidence{Envelope: ev.Envelope, PCRs: ev.PCRs, Question: question},
		NonceIssued: used.issued, TrustedUntil: used.issued.Add(s.server.timing.Trust()), Replay: r.replayed + s.judged.Sub(began),
	})
	if err == nil {
		s.late, s.accepted = 0, s.standing.AttestedAt
	}
	return err == nil, err
}

// collect shows the store the entries that were certified.
func collect(st *store.Store, o appraise.Outcome) *store.Collection {
	c := st.Collect()
	for i, e := range o.Certified.Replayed().All() {
		c.Visit(ima.Batch{First: i, Entries: []ima.Entry{e}, Sums: [][sha256.Size]byte{sha256.Sum256(e.Data)}})
	}
	return c
}

// judge gives the verdict on evidence whose list begins where it should, or
// elsewhere although the agent was told.
func judge(b appraise.Begun, r received, p *policy.Policy) appraise.Outcome {
	if b.Resync() {
		return b.Elsewhere()
	}
	return b.Finish(r.list, r.err, p)
}

// used returns the nonce that the evidence answers.
func (s *session) used(b appraise.Begun) nonce {
	if s.challenge != nil && string(b.Nonce()) == string(s.challenge.value[:]) {
		return *s.challenge
	}
	return s.own
}

// answer sends the verdict, with the nonce for the next evidence. Each nonce
// counts once.
func (s *session) answer(ctx context.Context, b appraise.Begun, accepted bool) error {
	used := s.used(b)
	if challenged := s.challenge != nil && used == *s.challenge; challenged || s.trust == "" {
		s.challenge = nil
		s.schedule(used)
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
	resume := s.resume()
	if b.New() && !accepted {
		resume = wire.Resume{} // another boot: the list from its beginning
	}
	s.told = resume.Entries
	return s.conn.Send(wire.Verdict{
		Accepted: accepted, Trust: trust, Reason: reason, Failures: s.standing.Failures,
		Nonce: s.own.value[:], Resume: resume, WantBoot: !s.standing.HaveBoot || b.New() && !accepted,
	})
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
