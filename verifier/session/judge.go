package session

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/store"
	"quicklime/wire"
)

// PolicyChanged has every agent judged again that was judged by another policy
// than the one now in force.
func (s *Server) PolicyChanged() {
	select {
	case s.wake <- struct{}{}:
	default: // a signal waits already
	}
}

// retryJudge is the pause after which judging again is tried again.
const retryJudge = 5 * time.Second

// RunJudge judges again, at the start and whenever a policy changed, until ctx
// ends. No machine is asked for anything.
func (s *Server) RunJudge(ctx context.Context) error {
	for {
		var retry <-chan time.Time
		if failed := s.judgeAll(ctx); failed > 0 {
			retry = time.After(retryJudge)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-retry:
		}
	}
}

// judgeAll judges every agent that needs it and returns for how many that failed:
// one that fails keeps no other from its verdict (I10).
func (s *Server) judgeAll(ctx context.Context) (failed int64) {
	all, err := s.store.Unjudged(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("which agents are to be judged again is unknown", "error", err)
		}
		return 1
	}
	began := time.Now()
	var failures atomic.Int64
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, e := range all {
		g.Go(func() error {
			_, err := s.judgeAgain(ctx, e)
			if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
				s.log.Error("not judged again", "agent", e.Agent[:12], "error", err)
				failures.Add(1)
			}
			return nil
		})
	}
	g.Wait()
	if len(all) > 0 {
		s.log.Info("judged again by the policies in force", "agents", int64(len(all))-failures.Load(), "failed", failures.Load(), "took", time.Since(began).String())
	}
	return failures.Load()
}

// judgeAgain judges the whole epoch of an agent by the policy in force, from the
// evidence that its last verdict rests on and the stored entries, and returns the
// state after that.
func (s *Server) judgeAgain(ctx context.Context, e store.Enrolment) (store.Standing, error) {
	if err := s.again.Acquire(ctx, 1); err != nil {
		return store.Standing{}, err
	}
	defer s.again.Release(1)
	for range maxTries {
		st, err := s.store.Standing(ctx, e)
		if err != nil {
			return st, err
		}
		next, err := s.judgeOnce(ctx, e, st)
		if !errors.Is(err, store.ErrConflict) {
			return next, err
		}
	}
	return store.Standing{}, fmt.Errorf("the state of %s moved %d times while it was judged again", e.Agent, maxTries)
}

// judgeOnce judges what was judged by other policies than those in force. The error
// is store.ErrConflict if the state has moved since st.
func (s *Server) judgeOnce(ctx context.Context, e store.Enrolment, st store.Standing) (next store.Standing, err error) {
	next = st
	if !st.JudgedInForce() {
		r, err := s.rejudged(ctx, e, st)
		if err != nil {
			return st, err
		}
		if next, err = s.store.Rejudge(ctx, e, st, r); err != nil {
			return next, err
		}
	}
	if !next.PlatformJudged() {
		if next, err = s.opineAgain(ctx, e, next); err != nil {
			return next, err
		}
	}
	s.raised(ctx, e, st, next)
	return next, nil
}

// begunAgain begins the evidence that an agent's last verdict rests on, and with it
// the whole list, as if nothing was known of the epoch but what is fresh.
func (s *Server) begunAgain(ctx context.Context, e store.Enrolment, st store.Standing, fresh appraise.Standing) (*appraise.Begun, error) {
	proof, err := s.store.Proof(ctx, e)
	if err != nil {
		return nil, err
	}
	span := wire.Span{Count: st.Resume.Entries(), Padded: st.Resume.Padded()}
	begun, err := appraise.Begin(fresh, proof.Question, wire.Evidence{Envelope: proof.Envelope, PCRs: proof.PCRs, IMA: span})
	if err != nil {
		return nil, fmt.Errorf("stored evidence: %w", err)
	}
	return begun, nil
}

func (s *Server) rejudged(ctx context.Context, e store.Enrolment, st store.Standing) (store.Rejudged, error) {
	var r store.Rejudged
	p, err := s.policy(ctx, st.InForce)
	if err != nil {
		return r, err
	}
	cleared, err := s.store.ClearedFindings(ctx, st)
	if err != nil {
		return r, err
	}
	fresh := appraise.Standing{Enrolment: e.ID, AgentID: e.Agent, AK: e.AK, Cleared: cleared, Severity: s.store.Severity()}
	begun, err := s.begunAgain(ctx, e, st, fresh)
	if err != nil {
		return r, err
	}
	var a appraise.Appraisal
	a.Begin(begun, p)
	if err := s.store.Visit(ctx, st, &a); err != nil {
		return r, err
	}
	o := a.Outcome(begun)
	if !o.Accepted {
		if now, err := s.store.Standing(ctx, e); err != nil || now.Revision != st.Revision {
			return r, errors.Join(err, store.ErrConflict) // evidence and list were read at two revisions
		}
		return r, fmt.Errorf("the stored list does not fit the stored evidence: %v", o.Result.Failures)
	}
	r.Result, r.Learned, r.Conditions, r.Failed = o.Result, o.Learned, o.Conditions, o.Failed
	past, err := s.store.PastFailures(ctx, st)
	for _, f := range past {
		switch away, warned := appraise.Again(f.Failure, f.Entry, p); {
		case away:
			r.Past = append(r.Past, f.Seq)
		case warned != f.Failure.Warned:
			f.Failure.Warned = warned
			r.Changed = append(r.Changed, f)
		}
	}
	return r, err
}

// raised logs that the gravest severity that stands against an agent has risen from
// one state to another.
func (s *Server) raised(ctx context.Context, e store.Enrolment, from, to store.Standing) {
	if !to.RaisedAt.After(from.RaisedAt) {
		return
	}
	a, err := s.store.Agent(ctx, e.Agent)
	if err != nil {
		s.log.Error("severity rose, and what stands cannot be read", "agent", e.Agent[:12], "error", err)
		return
	}
	s.log.Warn("severity rose", "agent", e.Agent[:12], "severity", a.Severity, "trust", a.Trust, "failures", a.FailureCount, "tolerated", a.ToleratedCount)
}

// policy returns the compiled policy of a digest; nil if nothing is evaluated.
// The error is store.ErrConflict if it is not in force any more.
func (s *Server) policy(ctx context.Context, digest string) (*policy.Policy, error) {
	if digest == wire.NotEvaluated {
		return nil, nil
	}
	p, err := s.policies.Policy(digest, func() ([]byte, error) {
		return s.store.RuntimePolicies.Text(context.WithoutCancel(ctx), digest) // others may wait for it too
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.ErrConflict
	}
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", digest[:12], err)
	}
	return p, nil
}
