package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"quicklime/verifier/appraise"
	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/store"
	"quicklime/verifier/systemdlog"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// references are compiled boot policies, shared by all agents.
type references struct {
	loads singleflight.Group // by digest: many agents ask for one at once

	mu     sync.Mutex
	loaded map[string]*bootpolicy.Policy // by digest
}

// policy returns the boot policy with a digest, of which text returns the text.
func (r *references) policy(digest string, text func() ([]byte, error)) (*bootpolicy.Policy, error) {
	r.mu.Lock()
	p := r.loaded[digest]
	r.mu.Unlock()
	if p != nil {
		return p, nil
	}
	loaded, err, _ := r.loads.Do(digest, func() (any, error) {
		b, err := text()
		if err != nil {
			return nil, err
		}
		p, err := bootpolicy.Parse(b)
		if err != nil {
			return nil, err
		}
		if p.Digest() != digest {
			return nil, fmt.Errorf("the text of boot policy %s is that of %s", digest, p.Digest())
		}
		r.keep(p)
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*bootpolicy.Policy), nil
}

func (r *references) keep(p *bootpolicy.Policy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded == nil || len(r.loaded) >= maxReferences {
		r.loaded = map[string]*bootpolicy.Policy{}
	}
	r.loaded[p.Digest()] = p
}

// platform returns what boot and PCRs of an agent are judged by. The error is
// store.ErrConflict if the boot policy is not in force any more.
func (s *Server) platform(ctx context.Context, e store.Enrolment, st store.Standing) (p appraise.Platform, err error) {
	p.Lowest = e.LowestBank
	if st.PCRPolicy != nil {
		if p.PCRs, err = pcrpolicy.Parse(st.PCRPolicy); err != nil {
			return p, fmt.Errorf("TPM policy of %s: %w", e.Agent, err)
		}
	}
	if st.BootInForce == wire.NotEvaluated {
		return p, nil
	}
	p.Boot, err = s.references.policy(st.BootInForce, func() ([]byte, error) {
		return s.store.BootPolicies.Text(context.WithoutCancel(ctx), st.BootInForce) // others may wait for it too
	})
	if errors.Is(err, store.ErrNotFound) {
		return p, store.ErrConflict
	}
	if err != nil {
		return p, fmt.Errorf("boot policy %s: %w", st.BootInForce[:12], err)
	}
	return p, nil
}

// plan is what the quotes of a session cover, and what they could.
type plan struct {
	base      pcr.Selection // whatever the policies are
	list      pcr.Bank      // in which the list is replayed
	active    []pcr.Bank    // that the TPM has, as the agent says
	selection pcr.Selection // that is asked for
}

// lacks reports whether the quotes do not cover all that a platform judges and the
// machine could be asked for.
func (p plan) lacks(judged appraise.Platform) bool {
	for _, want := range judged.Widen(p.base, p.list, p.active) {
		if !slices.ContainsFunc(p.selection, func(has pcr.BankSet) bool { return has.Bank == want.Bank && want.PCRs&^has.PCRs == 0 }) {
			return true
		}
	}
	return false
}

// opinion judges boot and PCRs of an evidence, by the policies that are in force in
// st: the boot if that was not done yet, or the log of systemd's that came says something
// else than before, by logs, which came with the evidence, or else by what is stored.
// asked says that the quote covers all that it can.
func (s *Server) opinion(ctx context.Context, e store.Enrolment, st store.Standing, b *appraise.Begun, logs appraise.Logs, asked func(appraise.Platform) bool) (o store.Opinion, err error) {
	p, err := s.platform(ctx, e, st)
	if err != nil {
		return o, err
	}
	id := b.Epoch().ID(e.ID)
	same := st.Epoch != nil && string(st.EpochID) == string(id[:])
	k := appraise.Boot{Logs: logs, Asked: asked(p)}
	if p.Boot != nil && same {
		values := b.BootValues(p)
		judged := st.BootJudged == st.BootInForce && st.BootValues != nil && values != nil
		stands := judged && (st.BootFailed || string(st.BootValues) == string(values)) // who has failed is not judged for each PCR that it then extends
		if st.HaveBoot && (!stands || logs.Systemd != nil) {
			stored, err := s.store.BootLogs(ctx, st)
			if errors.Is(err, store.ErrNotFound) {
				return o, store.ErrConflict // the machine has booted again meanwhile
			} else if err != nil {
				return o, err
			}
			other := logs.Systemd != nil && string(logs.Systemd) != string(stored.Systemd)
			stands = stands && (st.BootFailed || !other)
			if k.Logs.Boot = stored.Boot; logs.Systemd == nil {
				k.Logs.Systemd = stored.Systemd
			}
		}
		k.Stands = stands
	}
	o.Opinion = b.Opine(p, k)
	if o.BootStands {
		o.BootValues = st.BootValues
	}
	if p.PCRs != nil && same && st.PCRsJudged != st.PCRsInForce && !o.PCRsWait {
		if o.Away, err = s.away(ctx, st, p.PCRs); err != nil {
			return o, err
		}
	}
	if p.Boot != nil && st.BootJudged != st.BootInForce && !o.BootWaits {
		past, err := s.awayOfPast(ctx, e, p)
		o.Away = append(o.Away, past...)
		return o, err
	}
	return o, nil
}

// awayOfPast returns the failures of past boots that the boot policy in force does not
// have. A boot whose quote does not cover what is judged now keeps its own.
func (s *Server) awayOfPast(ctx context.Context, e store.Enrolment, p appraise.Platform) (seqs []int64, err error) {
	all, err := s.store.PastBoots(ctx, e)
	for _, past := range all {
		b, err := appraise.Begin(appraise.Standing{Enrolment: e.ID, AgentID: e.Agent, AK: e.AK}, past.Evidence.Question,
			wire.Evidence{Envelope: past.Evidence.Envelope, PCRs: past.Evidence.PCRs})
		if err != nil { // its failures stand until they are cleared; the machine goes on (I10)
			s.log.Error("a past boot cannot be judged again", "agent", e.Agent[:12], "error", fmt.Errorf("stored evidence: %w", err))
			continue
		}
		o := b.Opine(appraise.Platform{Boot: p.Boot, Lowest: p.Lowest}, appraise.Boot{Logs: past.Logs})
		if o.BootWaits {
			continue
		}
		if !past.Has(o.OfBoot) || len(o.Conditions) > 0 {
			continue // it fails all the same, for another reason
		}
		for _, f := range o.OfBoot {
			delete(past.Failures, string(f.Key))
		}
		seqs = slices.AppendSeq(seqs, maps.Values(past.Failures))
	}
	return seqs, err
}

// away returns the failures of single PCRs that another TPM policy does not have.
func (s *Server) away(ctx context.Context, st store.Standing, p *pcrpolicy.Policy) (seqs []int64, err error) {
	all, err := s.store.PCRFailures(ctx, st)
	for seq, f := range all {
		if p.Allows(f) {
			seqs = append(seqs, seq)
		}
	}
	return seqs, err
}

// opineAgain judges boot and PCRs of an agent by the policies in force, from the
// evidence that its last verdict rests on and the stored logs. If the quote does
// not cover what they judge, a session that cannot either is ended: in the next the
// machine is asked for it.
func (s *Server) opineAgain(ctx context.Context, e store.Enrolment, st store.Standing) (store.Standing, error) {
	b, err := s.begunAgain(ctx, e, st, appraise.Standing{Enrolment: e.ID, AgentID: e.Agent, AK: e.AK})
	if err != nil {
		return st, err
	}
	o, err := s.opinion(ctx, e, st, b, appraise.Logs{}, func(appraise.Platform) bool { return false })
	if err != nil {
		return st, err
	}
	if !waits(st, o) {
		if st, err = s.store.Opine(ctx, e, st, o); err != nil {
			return st, err
		}
	}
	if !st.PlatformJudged() {
		err = s.renew(ctx, e, st)
	}
	return st, err
}

// waits reports whether an opinion says nothing that is not known: what was judged
// is, and what waits for another quote still does.
func waits(st store.Standing, o store.Opinion) bool {
	boot := st.BootJudged == st.BootInForce || o.BootWaits && st.BootJudged == ""
	pcrs := st.PCRsJudged == st.PCRsInForce || o.PCRsWait && st.PCRsJudged == ""
	return boot && pcrs
}

// BootLog returns the logs of an agent's boot and what the last quote proves of it. The
// error is store.ErrNotFound if there is no such agent or it has sent none.
func (s *Server) BootLog(ctx context.Context, agent string) (l rest.BootLog, err error) {
	e, err := s.store.ByAgent(ctx, agent)
	if err != nil {
		return l, err
	}
	st, err := s.store.Standing(ctx, e)
	if err != nil {
		return l, err
	}
	logs, err := s.store.BootLogs(ctx, st)
	if err != nil {
		return l, err
	}
	l.Log, l.Systemd = logs.Boot, logs.Systemd
	b, err := s.begunAgain(ctx, e, st, appraise.Standing{Enrolment: e.ID, AgentID: e.Agent, AK: e.AK})
	if err != nil {
		return l, err
	}
	id := b.Epoch().ID(e.ID)
	l.Epoch, l.Proven = hex.EncodeToString(st.EpochID), []int{}
	runtime, _ := systemdlog.Parse(l.Systemd) // one that cannot be read proves nothing
	parsed, err := eventlog.Parse(l.Log)
	if err == nil && string(id[:]) == string(st.EpochID) { // else it was read at two revisions, or is no log
		l.Proven = slices.AppendSeq(l.Proven, parsed.With(runtime).Replay(b.Quote()).Proven().All())
	}
	return l, nil
}

// renew ends the session of an agent whose quotes do not cover what the policies in
// force judge.
func (s *Server) renew(ctx context.Context, e store.Enrolment, st store.Standing) error {
	p, err := s.platform(ctx, e, st)
	if err != nil {
		return err
	}
	s.mu.Lock()
	l, ok := s.live[e.Agent]
	s.mu.Unlock()
	if ok && l.enrolment == e.ID && l.plan != nil && l.plan.lacks(p) {
		s.log.Info("the session ends, for the policies judge PCRs that it does not quote", "agent", e.Agent[:12])
		l.conn.Close(channel.CodeDone, "")
	}
	return nil
}

// planned notes what the quotes of an agent's session cover.
func (s *Server) planned(e store.Enrolment, c *channel.Conn, p plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.live[e.Agent]; ok && l.conn == c {
		l.plan = &p
		s.live[e.Agent] = l
	}
}
