package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
)

var (
	// errProtocol says that the agent broke the protocol.
	errProtocol = errors.New("protocol violation")
	// errSilent says that the agent owes evidence and did not send it in time.
	errSilent = errors.New("no evidence in time")
	// errRenew says that the agent is to begin another session: to prove its
	// transport key again, or to be asked for other PCRs.
	errRenew = errors.New("the agent is to begin another session")
)

// nonce is a live nonce. Trust that it brings is dated from its issue.
type nonce struct {
	value  [wire.NonceSize]byte
	issued time.Time // by the database's clock
	at     time.Time // by this process's
}

// session is one connected agent. All of it is owned by run; what sends notices uses
// server, conn, enrolment and log, which do not change.
type session struct {
	server    *Server
	conn      *channel.Conn
	enrolment store.Enrolment
	exporter  []byte // of conn
	log       *slog.Logger

	standing  store.Standing
	base      pcr.Selection // of selection, what is quoted whatever the policies are
	selection pcr.Selection
	bank      pcr.Bank
	active    []pcr.Bank // that the TPM has, as Hello says
	number    uint64     // of the session
	sent      bool       // the agent has sent evidence in it

	own       nonce      // of Welcome or the last Verdict: for evidence that the agent starts itself
	challenge *nonce     // outstanding; nil: none
	due       time.Time  // of the next challenge, or of the answer to the outstanding one
	allowed   bool       // more time was given for the outstanding challenge
	looking   time.Time  // until when what has come is looked through for its answer; zero: it is not overdue
	renew     time.Time  // when the session ends; zero: never
	accepted  time.Time  // when evidence of this session was accepted last
	told      uint64     // entry from which the agent was last asked to go on
	trust     wire.Trust // in the last verdict; "": none yet
	late      int        // evidence in a row that newer overtook
	rejected  bool       // evidence was
	judged    time.Time  // when the evidence in hand was judged last, for the log

	payloads payloads
	notified *notified       // shared with who asks for the agent's status
	pushing  *sync.WaitGroup // has what sends notices
}

// run serves the agent until the connection or the enrolment ends.
func (s *session) run(ctx context.Context) error {
	if err := s.welcome(ctx); err != nil {
		return err
	}
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
}

// step does what is due, or else waits for a message until something is. An agent
// that keeps talking does not put off what is due.
func (s *session) step(ctx context.Context) error {
	if err := s.offer(ctx); err != nil {
		return err
	}
	wait, began := time.Until(s.due), time.Now()
	overdue := wait <= 0 && s.look(began)
	if wait <= 0 && !overdue {
		return s.tick(ctx)
	}
	m, err := s.conn.Receive(max(wait, glance))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if overdue && time.Since(began) >= glance {
			s.looking = began // nothing has come, and nobody has called Wake
		}
		return nil // it is due now, or payloads have changed
	}
	if err != nil {
		return err
	}
	return s.message(ctx, m)
}

// look reports whether to look at what has come before an answer that is overdue counts
// as missing: it may lie here since before it was due, behind something that this end
// took long for. An agent that keeps talking gains the time for one more answer by that.
func (s *session) look(now time.Time) bool {
	if s.challenge == nil {
		return false
	}
	if s.looking.IsZero() {
		s.looking = now.Add(s.server.timing.Answer)
	}
	return now.Before(s.looking)
}

func (s *session) message(ctx context.Context, m wire.Message) error {
	switch m := m.(type) {
	case wire.Evidence:
		if err := s.establish(ctx); err != nil {
			return err
		}
		if err := s.evidence(ctx, m); err != nil {
			return err
		}
		s.allow()
		return nil
	case wire.Alive:
		return nil
	case wire.Fetch:
		return s.fetch(ctx, m)
	case wire.Ask:
		return s.ask(ctx, m)
	case wire.Receipt:
		return s.receipt(ctx, m)
	case wire.PayloadRefusal:
		return s.refused(ctx, m)
	case wire.Noticed:
		return s.noticed(ctx, m)
	}
	return fmt.Errorf("%w: %T is not expected", errProtocol, m)
}

// allow gives an agent that owes an answer the whole time for it again after
// evidence of another kind, which may have taken long here: once, for an agent has
// one evidence in flight.
func (s *session) allow() {
	if later := time.Now().Add(s.server.timing.Answer); s.challenge != nil && !s.allowed && later.After(s.due) {
		s.due, s.allowed, s.looking = later, true, time.Time{}
	}
}

// welcome answers the agent's Hello.
func (s *session) welcome(ctx context.Context) error {
	m, err := s.conn.Receive(wire.FrameTimeout)
	if err != nil {
		return err
	}
	hello, ok := m.(wire.Hello)
	if !ok {
		return fmt.Errorf("%w: %T before Hello", errProtocol, m)
	}
	if err := s.takeUp(ctx, hello); err != nil {
		return err
	}
	sameBoot := s.standing.Epoch != nil && s.standing.Epoch.Counters == hello.Boot
	if err := s.choose(hello, sameBoot); err != nil {
		s.reject(ctx, wire.QuoteWeakBank, err)
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if err := s.widen(ctx); err != nil {
		return err
	}
	if s.own, err = s.server.newNonce(ctx); err != nil {
		return err
	}
	s.number = max(uint64(s.own.issued.UnixMilli()), s.standing.Session+1)
	w := wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: s.own.value[:], Selection: s.selection, IMABank: s.bank,
		WantBoot: !sameBoot || !s.standing.HaveBoot, MaxList: wire.MaxList, Session: s.number,
	}
	if sameBoot {
		w.Resume = s.resume()
	}
	s.told = w.Resume.Entries
	s.due = time.Now().Add(startTimeout)
	if r := s.server.timing.Renew; r > 0 {
		s.renew = time.Now().Add(r/2 + rand.N(r/2)) // not all of a fleet at once
	}
	s.log.Info("session began", "software", hello.Software, "resume", w.Resume.Entries, "bank", s.bank)
	return s.conn.Send(w)
}

// choose decides what every quote of the session covers: PCR 10 and the boot PCRs
// in the bank of the list, and the boot PCRs in the bank of boot_aggregate; widen
// adds what the policies judge. The agent's banks are a hint; a quote over one that
// is not active is refused.
func (s *session) choose(hello wire.Hello, sameBoot bool) error {
	s.bank = chooseBank(hello.Banks, s.enrolment.LowestBank)
	if sameBoot {
		s.bank = s.standing.Resume.Bank()
	}
	if s.bank == 0 {
		return fmt.Errorf("the TPM has no active PCR bank of at least %v: active are %v", s.enrolment.LowestBank, hello.Banks)
	}
	s.base, s.active = pcr.Selection{{Bank: s.bank, PCRs: pcr.Range(0, 9) | pcr.Of(pcr.IMA)}}, hello.Banks
	if a := hello.Aggregate; a.Known() && a != s.bank {
		s.base = append(s.base, pcr.BankSet{Bank: a, PCRs: pcr.Range(0, 9)})
	}
	s.selection = s.base
	return nil
}

// widen has the quotes cover what the policies judge, too.
func (s *session) widen(ctx context.Context) error {
	for range maxTries {
		p, err := s.server.platform(ctx, s.enrolment, s.standing)
		if err == nil {
			s.selection = p.Widen(s.base, s.bank, s.active)
			s.server.planned(s.enrolment, s.conn, s.plan())
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		if s.standing, err = s.server.store.Standing(ctx, s.enrolment); err != nil {
			return err
		}
	}
	return fmt.Errorf("the boot policy of %s was replaced %d times while the machine was welcomed", s.enrolment.Agent, maxTries)
}

func (s *session) plan() plan {
	return plan{base: s.base, list: s.bank, active: s.active, selection: s.selection}
}

// chooseBank returns the bank in which a list is replayed, or 0. SHA-256 comes
// first: kernels without SHA-384 extend that bank with padded SHA-1.
func chooseBank(active []pcr.Bank, lowest pcr.Bank) pcr.Bank {
	for _, b := range []pcr.Bank{pcr.SHA256, pcr.SHA384, pcr.SHA512, pcr.SHA1} {
		if b >= lowest && slices.Contains(active, b) { // the ids grow with the strength
			return b
		}
	}
	return 0
}

// tick does what is due: it challenges, or gives up on an agent that owes an
// answer. Ending the session takes no trust away; that runs out by itself.
func (s *session) tick(ctx context.Context) error {
	if s.challenge != nil {
		return fmt.Errorf("%w: a challenge was not answered within %v", errSilent, s.server.timing.Answer)
	}
	if s.trust == "" {
		return fmt.Errorf("%w: none within %v of Welcome", errSilent, startTimeout)
	}
	if !s.renew.IsZero() && time.Now().After(s.renew) {
		return errRenew // and evidence is the first thing that the next one wants
	}
	n, err := s.server.newNonce(ctx)
	if err != nil {
		return err
	}
	s.challenge, s.due, s.allowed, s.looking = &n, time.Now().Add(s.server.timing.Answer), false, time.Time{}
	s.payloads.challenged()
	return s.conn.Send(wire.Challenge{Nonce: n.value[:], Within: uint64(s.server.timing.Answer.Milliseconds())})
}

// owed records that the session ended, by cause, in the face of a challenge:
// leaving is no answer to one, and neither is a newer session. Nothing is recorded
// if this side closed it for another reason, or if evidence was rejected, of which
// more is known.
func (s *session) owed(serving context.Context, cause error) {
	closed, ok := errors.AsType[*channel.CloseError](cause)
	closedHere := ok && !closed.Remote && closed.Code != channel.CodeDisplaced
	if s.challenge == nil || s.rejected || closedHere || errors.Is(cause, errRenew) || errors.Is(cause, store.ErrNotFound) || serving.Err() != nil {
		return
	}
	if !errors.Is(cause, errSilent) {
		cause = fmt.Errorf("a challenge was not answered before the session ended: %w", cause)
	}
	s.reject(serving, wire.Unanswered, cause)
}

// schedule sets the next challenge: at a random time, so that nobody can hide
// between two, and at most C after the issue of the nonce that was answered, so
// that trust dated from there lasts until the next answer.
func (s *session) schedule(answered nonce) {
	c := s.server.timing.Challenge
	s.due = answered.at.Add(c/2 + rand.N(c/2))
}

// resume is where the verifier wants the list to go on.
func (s *session) resume() wire.Resume {
	if s.standing.Epoch == nil {
		return wire.Resume{}
	}
	return wire.Resume{Epoch: s.standing.EpochID, Entries: s.standing.Resume.Entries()}
}
