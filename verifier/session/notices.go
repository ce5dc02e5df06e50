package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// notified is what a session's agent has of notices. Anybody may read it.
type notified struct {
	takes         atomic.Bool // it takes notices
	last, missing atomic.Uint64
}

// noticed takes up what the agent says of notices. The first time it begins to send
// those that follow, on a goroutine of its own: a session that waits for evidence
// sends nothing.
func (s *session) noticed(ctx context.Context, m wire.Noticed) error {
	n := s.notified
	n.last.Store(m.Last)
	if m.Missing > 0 {
		n.missing.Add(m.Missing)
		s.server.misses.Warn("an agent misses notices that it was sent", "agent", s.enrolment.Agent[:12], "missing", m.Missing, "last", m.Last)
	}
	if s.server.feed == nil || n.takes.Swap(true) {
		return nil
	}
	from := m.Last
	if from == 0 { // it never had one: they begin with its enrolment
		var err error
		if from, err = s.server.store.FirstNotice(ctx, s.enrolment); err != nil {
			return err
		}
	}
	s.pushing.Go(s.conn.Contained(func() { s.push(ctx, from) }))
	return nil
}

// maxAhead bounds how far a database may be behind its agents: more notices than any
// backup is short of, and nothing that an agent could use up the numbers with.
const maxAhead = 1 << 20

// errAhead says that an agent claims notices that nobody can have sent.
var errAhead = errors.New("the agent says that it has notices that were never sent, and gets none")

// catchUp has the numbers go on from an agent's, which has newer notices than there
// are: the database is of a backup, and the agent would refuse all. Every other agent
// sees that as notices which are missing, so it takes an agent that is trusted.
func (s *session) catchUp(ctx context.Context, last uint64) error {
	newest, err := s.server.store.LastNotice(ctx)
	if err != nil || last <= newest {
		return err
	}
	if last-newest > maxAhead {
		return fmt.Errorf("%w: the last is %d, and it has %d", errAhead, newest, last)
	}
	a, err := s.server.store.Agent(ctx, s.enrolment.Agent)
	if err != nil || a.Trust != wire.Trusted {
		return err
	}
	raised, err := s.server.store.RaiseNotices(ctx, last)
	if raised {
		s.log.Warn("an agent has newer notices than the database: was that restored from a backup? The numbers go on from there", "last", last, "newest", newest)
	}
	return err
}

// push sends the agent the notices after a number, each as soon as it may have it,
// until ctx or the connection ends.
func (s *session) push(ctx context.Context, after uint64) {
	for ctx.Err() == nil {
		changed, leave := s.server.store.Changed(s.enrolment.Agent) // its trust, perhaps
		newest, grown := s.server.feed.Last()
		var err error
		if after > newest {
			err = s.catchUp(ctx, after)
		} else {
			after, err = s.pushTo(ctx, after, newest)
		}
		if err != nil {
			leave()
			if ctx.Err() == nil {
				s.log.Warn("notices are not sent", "error", err)
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-grown:
		case <-changed:
		}
		leave()
	}
}

// pushTo sends what the agent may have after one number and up to another, and
// returns the number that it came to.
func (s *session) pushTo(ctx context.Context, after, newest uint64) (uint64, error) {
	if after >= newest {
		return after, nil
	}
	limit, err := s.server.store.NoticeLimit(ctx, s.enrolment)
	if err != nil {
		return after, err
	}
	limit = min(limit, newest)
	for ctx.Err() == nil {
		number, envelope, err := s.server.feed.Next(ctx, after, limit)
		if err != nil || number == 0 {
			return after, err
		}
		if err := s.conn.Send(wire.Notice{Envelope: envelope}); err != nil {
			return after, err
		}
		after = number
	}
	return after, nil
}

// Notices returns what an agent that has a session here has of notices; nil: it has no
// session, or takes none.
func (s *Server) Notices(agent string) *rest.Notices {
	s.mu.Lock()
	n := s.live[agent].notified
	s.mu.Unlock()
	if n == nil || !n.takes.Load() {
		return nil
	}
	return &rest.Notices{Last: n.last.Load(), Missing: n.missing.Load()}
}
