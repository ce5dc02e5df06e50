// Package session is the verifier's end of the attestation session: it welcomes an
// agent, challenges it at random times, has its evidence appraised and the outcome
// committed before it answers.
//
// One goroutine, the channel's handler, owns a session, and another sends it notices
// of other machines; nothing it holds is shared but through the store, whose compare-and-swap settles races with policies,
// operators and other sessions. An agent has one live session: the newest.
package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"quicklime/verifier/policycache"
	"quicklime/verifier/revocation"
	"quicklime/verifier/store"
	"quicklime/wire/channel"
	"quicklime/wire/throttle"
)

// Server serves agents.
type Server struct {
	store    *store.Store
	policies *policycache.Cache
	timing   Timing
	feed     *revocation.Feed // nil: agents get no notices
	log      *slog.Logger
	waits    *slog.Logger // of agents that find no entrance, as often as they knock
	misses   *slog.Logger // of notices, as the agents say
	pace     pace

	refusedPause time.Duration // before notices that an agent refused are sent again

	references references

	room  *room               // for lists under judgement
	again *semaphore.Weighted // epochs that are judged again at one time

	mu   sync.Mutex
	live map[string]live // by agent id
	wake chan struct{}   // a policy has changed; holds one signal
}

// New makes a server. RunJudge must run while it is used.
func New(s *store.Store, policies *policycache.Cache, t Timing, feed *revocation.Feed, log *slog.Logger) *Server {
	return &Server{
		store: s, policies: policies, timing: t, feed: feed, log: log, waits: throttle.New(log, waitsShown), misses: throttle.New(log, missesShown), room: newRoom(), again: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		live: map[string]live{}, wake: make(chan struct{}, 1), refusedPause: refusedPause,
	}
}

// errFull says that an agent was enrolled and there is no place for it.
var errFull = errors.New("enrolled, and max_agents are connected")

// Admit knows a client whose transport key is enrolled; another is a stranger,
// which may wait for its enrolment if there is room (MaxStrangers).
func (s *Server) Admit(p channel.Peer) (known bool, err error) {
	_, err = s.store.BySPKI(context.Background(), p.SPKI)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Handle serves one connection until it ends.
func (s *Server) Handle(ctx context.Context, c *channel.Conn) {
	e, err := s.enrolment(ctx, c)
	if err != nil {
		c.Close(codeOf(err), "")
		return
	}
	if !s.pace.begin(e.ID, time.Now()) {
		s.waits.Warn("a machine begins too many sessions", "agent", e.Agent[:12], "peer", c.Peer().Addr.String())
		c.Close(channel.CodeBusy, "")
		return
	}
	log := s.log.With("agent", e.Agent[:12], "peer", c.Peer().Addr.String())
	agent := &session{
		server: s, conn: c, enrolment: e, exporter: c.Exporter(), log: log,
		payloads: payloads{changed: make(chan struct{}, 1)}, notified: newNotified(), pushing: new(sync.WaitGroup),
	}
	s.enter(agent)
	defer s.leave(e, c)
	serving := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.Context(), cancel)() // nothing goes on for a peer that has left
	err = agent.run(ctx)
	log.Info("session ended", "cause", err)
	agent.owed(serving, err)
	c.Close(codeOf(err), "")
	cancel()
	agent.pushing.Wait()
}

// codeOf chooses the code that a session is closed with.
func codeOf(err error) channel.Code {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, context.DeadlineExceeded):
		return channel.CodeNotEnrolled
	case errors.Is(err, errFull):
		return channel.CodeBusy
	case errors.Is(err, errProtocol):
		return channel.CodeProtocol
	case errors.Is(err, errSilent):
		return channel.CodeSilent
	case errors.Is(err, errRenew):
		return channel.CodeDone
	}
	return channel.CodeInternal
}

// enrolment returns the enrolment of a client, for which it may have to wait.
func (s *Server) enrolment(ctx context.Context, c *channel.Conn) (store.Enrolment, error) {
	spki := c.Peer().SPKI
	e, err := s.store.BySPKI(ctx, spki)
	if errors.Is(err, store.ErrNotFound) {
		e, err = s.park(ctx, c)
	}
	if err == nil && !c.MakeKnown() {
		err = errFull
	}
	return e, err
}

// park lets a client wait for its enrolment, on a stranger's place.
func (s *Server) park(ctx context.Context, c *channel.Conn) (e store.Enrolment, err error) {
	spki := c.Peer().SPKI
	s.waits.Info("an agent waits for its enrolment", "peer", c.Peer().Addr.String(), "transport_key", hex.EncodeToString(spki[:8]))
	ctx, cancel := context.WithTimeout(ctx, maxParkedTime)
	defer cancel()
	for {
		if e, err = s.await(ctx, c); !errors.Is(err, store.ErrNotFound) {
			return e, err
		}
	}
}

// await looks for a client's enrolment, and if there is none waits for a change
// and looks again.
func (s *Server) await(ctx context.Context, c *channel.Conn) (store.Enrolment, error) {
	changed, leave := s.store.Enrolled(c.Peer().SPKI)
	defer leave()
	e, err := s.store.BySPKI(ctx, c.Peer().SPKI)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	select {
	case <-changed:
		return s.store.BySPKI(ctx, c.Peer().SPKI)
	case <-c.Context().Done():
		return e, context.Cause(c.Context())
	case <-ctx.Done():
		return e, ctx.Err()
	}
}

// live is an agent's session and the enrolment that it is of.
type live struct {
	conn      *channel.Conn
	enrolment int64
	payloads  chan<- struct{} // tells the session that they have changed
	plan      *plan           // nil: not welcomed yet
	notified  *notified
}

// enter makes a session the agent's one live session.
func (s *Server) enter(agent *session) {
	e, c := agent.enrolment, agent.conn
	s.mu.Lock()
	old, there := s.live[e.Agent]
	s.live[e.Agent] = live{conn: c, enrolment: e.ID, payloads: agent.payloads.changed, notified: agent.notified}
	s.mu.Unlock()
	if there {
		s.log.Warn("a new session takes the place of one that lives", "agent", e.Agent[:12], "old", old.conn.Peer().Addr.String(), "new", c.Peer().Addr.String())
		old.conn.Close(channel.CodeDisplaced, "")
	}
}

func (s *Server) leave(e store.Enrolment, c *channel.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[e.Agent].conn == c {
		delete(s.live, e.Agent)
	}
}

// Connected reports whether an agent has a session here.
func (s *Server) Connected(agent string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.live[agent]
	return ok
}

// End ends an agent's session of an enrolment that has ended, and leaves one that
// has begun since alone.
func (s *Server) End(agent string, enrolment int64) {
	s.mu.Lock()
	l, ok := s.live[agent]
	s.mu.Unlock()
	if ok && l.enrolment == enrolment {
		l.conn.Close(channel.CodeNotEnrolled, "")
	}
}

// newNonce returns a nonce and when it was issued, by the database's clock.
func (s *Server) newNonce(ctx context.Context) (nonce, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return nonce{}, err
	}
	n := nonce{issued: now, at: time.Now()}
	rand.Read(n.value[:])
	return n, nil
}
