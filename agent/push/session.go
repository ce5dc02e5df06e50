package push

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"quicklime/agent/imalog"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/envelope"
)

// session is one connection to the verifier. Its fields belong to the goroutine
// of run; another one only receives, and one takes notices.
type session struct {
	cfg   Config
	boot  wire.BootCounters // when the TPM was opened
	last  *uint64           // number of the last session that the agent was welcomed to; outlives this one
	trust *reporter

	conn     *channel.Conn
	incoming chan received
	parts    chan struct{} // holds one for each part of a payload in incoming
	notices  chan []byte   // envelopes, from receive to takeNotices
	asked    chan struct{} // closed when notices were asked for
	prover   *prover
	welcome  wire.Welcome
	accepted bool // a verdict accepted evidence

	// What is due, most urgent first.
	challenge *wire.Challenge
	owed      bool      // evidence whatever the list says: the first one, and again when a verdict wants something else
	grown     bool      // the list has grown, perhaps
	noticed   time.Time // when it had first grown past what was sent; zero: it has not

	nonce    []byte // for evidence that is no answer to a challenge
	wantBoot bool
	systemd  [sha256.Size]byte // of systemd's log as accepted evidence of this session had it last; zero: none
	unread   bool              // that systemd's log cannot be read was said
	held     bool              // rejected with no other wish: only challenges are answered
	resends  int               // in a row

	flight  *flight          // evidence without a verdict, or nil
	overdue <-chan time.Time // fires when flight's verdict does not come
	requote requotes
	alive   <-chan time.Time // fires when the verifier is to be told that the agent is there
	again   <-chan time.Time // fires when entries may be extended that were not when last quoted
}

// flight is what was sent and has no verdict yet.
type flight struct {
	first   uint64            // entry
	boot    bool              // the boot log was asked for, and went along if there is one
	systemd [sha256.Size]byte // what session.systemd is when it was accepted
	times   times
}

// received is what Receive returned.
type received struct {
	message wire.Message
	raw     []byte // behind a Chunk
	err     error
}

// run is the whole session. It returns why it ended.
func (s *session) run(ctx context.Context) error {
	hello, err := s.hello()
	if err != nil {
		return err
	}
	if s.conn, err = channel.Dial(ctx, s.cfg.Verifier); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.conn.Close(channel.CodeDone, "the agent stops") })()
	var receiving sync.WaitGroup
	defer receiving.Wait()
	ended := make(chan struct{})
	defer close(ended)
	if err := s.conn.Send(hello); err != nil {
		return s.close(err)
	}
	alive := time.NewTicker(wire.AliveInterval)
	defer alive.Stop()
	s.alive = alive.C
	s.incoming, s.parts = make(chan received, maxIncoming), make(chan struct{}, maxParts)
	receiving.Go(func() { s.receive(ended) })
	s.notices, s.asked = make(chan []byte, maxNotices), make(chan struct{})
	receiving.Go(func() { s.takeNotices(ended) })
	return s.close(s.converse(ctx))
}

// close ends the connection for the reason err and returns it.
func (s *session) close(err error) error {
	code := channel.CodeInternal
	if errors.Is(err, errProtocol) {
		code = channel.CodeProtocol
	}
	s.conn.Close(code, "")
	return err
}

// receive hands over what arrives, until the connection or the session ends. It goes on
// while evidence is being sent: the verifier may be sending, too, and then reads only
// when it is rid of that. Notices, of which there may be very many, are in the way of
// nothing else.
func (s *session) receive(ended <-chan struct{}) {
	for welcomed := false; ; {
		m, err := s.conn.Receive(0)
		if n, ok := m.(wire.Notice); ok && err == nil && welcomed && s.cfg.Notices != nil {
			if !put(s.notices, n.Envelope, ended) {
				return
			}
			continue
		}
		var raw []byte
		if c, ok := m.(wire.Chunk); ok && err == nil {
			if !put(s.parts, struct{}{}, ended) {
				return
			}
			raw, err = io.ReadAll(s.conn.Raw(c.Bytes, 0)) // at most wire.MaxChunk
		}
		if !put(s.incoming, received{m, raw, err}, ended) || err != nil {
			return
		}
		if _, ok := m.(wire.Welcome); ok {
			welcomed = true
		}
	}
}

// put reports whether there was room before the session ended.
func put[T any](to chan<- T, v T, ended <-chan struct{}) bool {
	select {
	case to <- v:
		return true
	case <-ended:
		return false
	}
}

// hello reads TPM and list before a connection has to wait for them.
func (s *session) hello() (wire.Hello, error) {
	boot, err := s.cfg.TPM.BootCounters()
	if err != nil {
		return wire.Hello{}, tpmError{err}
	}
	if boot.Reset != s.boot.Reset {
		return wire.Hello{}, tpmError{errRestarted}
	}
	banks, err := s.cfg.TPM.ActiveBanks()
	if err != nil {
		return wire.Hello{}, tpmError{err}
	}
	if err := s.cfg.List.Read(); err != nil {
		return wire.Hello{}, err
	}
	return wire.Hello{
		Version: wire.ProtocolVersion, Software: s.cfg.Software, Boot: boot, Banks: banks,
		Entries: s.cfg.List.Entries(), Aggregate: s.cfg.List.Aggregate(), After: *s.last,
	}, nil
}

// converse waits for Welcome and does what it and every later message asks.
func (s *session) converse(ctx context.Context) error {
	if err := s.awaitWelcome(ctx); err != nil {
		return err
	}
	for {
		if err := s.attest(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-s.incoming:
			if err := s.handle(r); err != nil {
				return err
			}
		case <-s.cfg.Grew:
			s.grown, s.requote = true, requotes{}
			s.noticed = cmp.Or(s.noticed, time.Now())
		case <-s.again:
			s.grown = true
		case <-s.alive:
			if err := s.conn.Send(wire.Alive{}); err != nil {
				return err
			}
		case <-s.overdue:
			return fmt.Errorf("no verdict within %v", verdictTimeout)
		}
	}
}

// awaitWelcome has no deadline but the connection's: a verifier holds a machine
// that it does not know yet, and speaks when it does.
func (s *session) awaitWelcome(ctx context.Context) error {
	patience := time.After(welcomePatience)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			s.cfg.Log.Warn("the verifier is silent: this machine is probably not enrolled yet",
				"agent", s.cfg.AgentID, "enrol", "quicklime-tenant agent add "+s.cfg.AgentID[:12])
			patience = time.After(welcomeReminder)
		case <-s.alive:
			if err := s.conn.Send(wire.Alive{}); err != nil {
				return err
			}
		case r := <-s.incoming:
			if r.err != nil {
				return r.err
			}
			w, ok := r.message.(wire.Welcome)
			if !ok {
				return protocolError("%T before Welcome", r.message)
			}
			return s.begin(w)
		}
	}
}

// begin prepares what Welcome asks for.
func (s *session) begin(w wire.Welcome) (err error) {
	s.welcome, s.nonce, s.wantBoot, s.owed = w, w.Nonce, w.WantBoot, true
	*s.last = w.Session
	if s.prover, err = newProver(s.cfg, w, s.conn.Exporter()); err != nil {
		return err
	}
	first, err := s.resume(w.Resume)
	if err != nil {
		return err
	}
	s.cfg.Log.Info("attesting", "verifier", s.cfg.Verifier.Addr, "resume", first, "entries", s.cfg.List.Entries())
	return s.askForNotices()
}

// resume makes the list go on where the verifier wants it, and returns at which
// entry that is. A verifier that has seen more than there is knows another boot:
// it gets the list from the start.
func (s *session) resume(r wire.Resume) (first uint64, err error) {
	err = s.cfg.List.Rewind(s.welcome.IMABank, r.Entries)
	if !errors.Is(err, imalog.ErrBeyond) {
		return r.Entries, err
	}
	s.cfg.Log.Warn("the verifier has seen more of the list than there is", "resume", r.Entries, "entries", s.cfg.List.Entries())
	return 0, s.cfg.List.Rewind(s.welcome.IMABank, 0)
}

func (s *session) handle(r received) error {
	if r.err != nil {
		return r.err
	}
	switch m := r.message.(type) {
	case wire.Challenge:
		s.challenge = &m
		return nil
	case wire.Verdict:
		return errors.Join(s.verdict(m), s.payloads(r))
	case wire.Chunk:
		<-s.parts
		return s.payloads(r)
	case wire.Offers, wire.Release:
		return s.payloads(r)
	case wire.Notice:
		return protocolError("a notice that nobody asked for")
	}
	return protocolError("%T in the session", r.message)
}

// payloads hands over what is about payloads, or may bear on them.
func (s *session) payloads(r received) error {
	if s.cfg.Payloads == nil || s.cfg.Payloads.Take(r.message, r.raw, func(m wire.Message) error { return s.conn.Send(m) }) {
		return nil
	}
	return protocolError("more about payloads than was asked for")
}

// payload is what the next envelope says.
func (s *session) payload(t wire.Trigger, nonce []byte) envelope.Payload {
	return envelope.Payload{Nonce: nonce, AgentID: s.cfg.AgentID, Trigger: t}
}
