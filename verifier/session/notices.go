package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// notified is what a session's agent has of notices. Anybody may read it.
type notified struct {
	mu      sync.Mutex
	takes   bool // it takes notices
	said    wire.Noticed
	missing uint64
	off     time.Duration // of its clock, with said.Refused

	refused chan struct{} // holds one signal: what was refused may be accepted later
}

func newNotified() *notified { return &notified{refused: make(chan struct{}, 1)} }

// hear takes up what the agent says, and reports whether it is the first time.
func (n *notified) hear(m wire.Noticed, now time.Time) (first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first, n.takes = !n.takes, true
	n.said = m
	n.missing += m.Missing
	if n.off = 0; m.Refused == wire.RefusedClock {
		n.off = time.Unix(int64(m.Clock), 0).Sub(now).Truncate(time.Second)
	}
	if m.Refused.Passing() {
		select {
		case n.refused <- struct{}{}:
		default:
		}
	}
	return first
}

func (n *notified) lastSaid() wire.Noticed {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said
}

// noticed takes up what the agent says of notices. The first time it begins to send
// those that follow, on a goroutine of its own: a session that waits for evidence
// sends nothing.
func (s *session) noticed(ctx context.Context, m wire.Noticed) error {
	first := s.notified.hear(m, time.Now())
	if m.Missing > 0 {
		s.server.misses.Warn("an agent misses notices that it was sent", "agent", s.enrolment.Agent[:12], "missing", m.Missing, "last", m.Last)
	}
	if m.Refused != "" {
		s.server.misses.Warn("an agent refuses notices", "agent", s.enrolment.Agent[:12], "last", m.Last, "reason", m.Refused, "its_clock", m.Clock, "again", m.Refused.Passing())
	}
	if s.server.feed == nil || !first {
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

// succeed sends what leads the agent to the revocation key that notices are by.
func (s *session) succeed() error {
	successions, stands := s.server.feed.Successions(s.notified.lastSaid().Key)
	if stands == rest.NoticeKeyUnknown {
		s.server.misses.Warn("an agent pins a revocation key that is not the verifier's, and takes no notices until it joins again", "agent", s.enrolment.Agent[:12])
	}
	for _, envelope := range successions {
		if err := s.conn.Send(wire.Notice{Envelope: envelope}); err != nil {
			return err
		}
	}
	return nil
}

// again waits a while after an agent refused a notice for a reason that may pass, and
// returns from where to go on: after the last that it accepted, or from where it began.
func (s *session) again(ctx context.Context, from, after uint64) (uint64, error) {
	select {
	case <-ctx.Done():
		return after, ctx.Err()
	case <-time.After(s.server.refusedPause):
	}
	select {
	case <-s.notified.refused: // those that were under way
	default:
	}
	return min(after, max(from, s.notified.lastSaid().Last)), s.succeed()
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
func (s *session) push(ctx context.Context, from uint64) {
	err := s.succeed()
	for after := from; err == nil; {
		changed, leave := s.server.store.Changed(s.enrolment.Agent) // its trust, perhaps
		newest, grown := s.server.feed.Last()
		if after > newest {
			err = s.catchUp(ctx, after)
		} else {
			after, err = s.pushTo(ctx, after, newest)
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-grown:
			case <-changed:
			case <-s.notified.refused:
				after, err = s.again(ctx, from, after)
			}
		}
		leave()
	}
	if ctx.Err() == nil {
		s.log.Warn("notices are not sent", "error", err)
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
	for ctx.Err() == nil && len(s.notified.refused) == 0 {
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
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.takes {
		return nil
	}
	r := &rest.Notices{Last: n.said.Last, Missing: n.missing, Refused: n.said.Refused, ClockOff: n.off.Seconds()}
	if s.feed != nil {
		_, r.Key = s.feed.Successions(n.said.Key)
	}
	return r
}
