package session

import (
	"context"
	"errors"

	"quicklime/verifier/store"
	"quicklime/wire"
)

// takeUp reads the state that the session begins with. An agent remembers the
// last session that it was welcomed to, so one that goes on from an older session
// than the newest in which evidence was sent is a copy: another has attested
// meanwhile. One that was started anew remembers none, which says nothing. It is
// the agent's word, but it can only count against it.
func (s *session) takeUp(ctx context.Context, hello wire.Hello) (err error) {
	if s.standing, err = s.server.store.Standing(ctx, s.enrolment); err != nil {
		return err
	}
	for tries := 1; hello.After != 0 && hello.After < s.standing.Session; tries++ {
		next, err := s.server.store.Duplicate(ctx, s.enrolment, s.standing, s.peer())
		if err == nil {
			s.log.Error("two agents with this TPM take turns", "id", wire.IdentityDuplicate, "other", s.standing.SessionPeer)
			s.server.raised(ctx, s.enrolment, s.standing, next)
			s.standing = next
			return nil
		}
		if !errors.Is(err, store.ErrConflict) || tries == maxTries {
			return err
		}
		if s.standing, err = s.server.store.Standing(ctx, s.enrolment); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) peer() string { return s.conn.Peer().Addr.String() }

// establish makes the session the newest in which evidence was sent.
func (s *session) establish(ctx context.Context) error {
	if s.sent {
		return nil
	}
	s.sent = true
	return s.server.store.Establish(ctx, s.enrolment, s.number, s.peer())
}
