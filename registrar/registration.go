package registrar

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"quicklime/registrar/credential"
	"quicklime/registrar/ekcert"
	"quicklime/registrar/store"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/throttle"
)

// proofTimeout bounds the wait for a proof: the TPM makes its EK anew for it, and
// an RSA key takes slow parts half a minute.
const proofTimeout = 60 * time.Second

// desk takes registrations, one for each connection. Nothing of one is kept
// before its proof (I09).
type desk struct {
	store   *store.Store
	anchors ekcert.Anchors
	policy  EKPolicy
	log     *slog.Logger
	doubts  *slog.Logger // of what anybody can cause
}

// doubtsShown is how many registrations that failed are logged a minute: more than
// a rack that is set up wrongly.
const doubtsShown = 60

func newDesk(s *store.Store, anchors ekcert.Anchors, policy EKPolicy, log *slog.Logger) *desk {
	return &desk{s, anchors, policy, log, throttle.New(log, doubtsShown)}
}

// conversation is one connection: what the agent sends and hears.
// *channel.Conn is one.
type conversation interface {
	Peer() channel.Peer
	Exporter() []byte
	Send(m wire.Message, raw ...[]byte) error
	Receive(timeout time.Duration) (wire.Message, error)
	Close(code channel.Code, reason string)
}

// refused is an error that the agent is told of, in one word.
type refused struct {
	why wire.Refusal
	err error
}

func (r refused) Error() string { return r.err.Error() }
func (r refused) Unwrap() error { return r.err }

// serve has the whole conversation. What went wrong goes to the log; the agent
// hears a word of wire.Refusal at most.
func (d *desk) serve(ctx context.Context, c conversation) {
	remote := slog.String("remote", c.Peer().Addr.String())
	log, doubts := d.log.With(remote), d.doubts.With(remote)
	register, err := receive[wire.Register](c, wire.FrameTimeout)
	if err != nil {
		level := slog.LevelDebug // who only looks is no news
		if errors.Is(err, wire.ErrMalformed) {
			level = slog.LevelWarn
		}
		doubts.Log(ctx, level, "no registration", "err", err)
		return
	}
	label, token := slog.String("label", register.Label), slog.String("token", register.TokenID)
	log, doubts = log.With(label, token), doubts.With(label, token)
	done, err := d.register(ctx, c, register)
	if err == nil {
		log.Info("registered", "agent", done.ID, "outcome", done.Outcome)
		if err := c.Send(done); err != nil {
			log.Warn("the agent does not know that it is registered", "err", err)
		}
		return
	}
	r, ok := errors.AsType[refused](err)
	if !ok {
		doubts.Warn("a registration broke off", "err", err)
		return
	}
	if r.why == wire.RefusedInternal {
		log.Error("registration refused", "why", r.why, "err", r.err)
	} else {
		doubts.Warn("registration refused", "why", r.why, "err", r.err)
	}
	if err := c.Send(wire.Refused{Why: r.why}); err != nil {
		log.Debug("the agent does not know that it was refused", "err", err)
	}
}

// register judges a registration. An error that is not a refusal is the
// connection's.
func (d *desk) register(ctx context.Context, c conversation, m wire.Register) (wire.Registered, error) {
	candidate, err := credential.Check(m, c.Peer().SPKI, c.Exporter())
	if err != nil {
		return wire.Registered{}, refusal(err)
	}
	endorsement, err := d.endorse(m, candidate)
	if err != nil {
		return wire.Registered{}, refusal(err)
	}
	proven, err := prove(c, candidate)
	if err != nil {
		return wire.Registered{}, err
	}
	outcome, err := d.store.Register(ctx, store.Registration{
		Keys: proven, Endorsement: endorsement,
		Label: m.Label, TokenID: m.TokenID, TokenSecret: m.TokenSecret,
	})
	if err != nil {
		return wire.Registered{}, refusal(err)
	}
	return wire.Registered{ID: proven.ID(), Outcome: outcome}, nil
}

// errNoCertificate says that an EK came without a certificate and must have one.
var errNoCertificate = errors.New("the EK has no certificate, and ek_certificate is \"require\"")

// endorse judges the EK's certificates under the policy.
func (d *desk) endorse(m wire.Register, c credential.Candidate) (ekcert.Endorsement, error) {
	e, err := ekcert.Check(m.EKCertificates, c.EK().Key(), d.anchors, time.Now())
	switch {
	case errors.Is(err, ekcert.ErrUntrusted) && d.policy == EKRecord:
		d.log.Warn("an EK that nobody vouches for is let in", "agent", c.EK().AgentID(), "err", err)
		return ekcert.Endorsement{}, nil
	case err == nil && !e.Trusted() && d.policy == EKRequire:
		return ekcert.Endorsement{}, errNoCertificate
	}
	return e, err
}

// prove challenges the candidate's TPM, once.
func prove(c conversation, candidate credential.Candidate) (credential.Proven, error) {
	challenge, m, err := candidate.Challenge(rand.Reader)
	if err != nil {
		return credential.Proven{}, refusal(err)
	}
	if err := c.Send(m); err != nil {
		return credential.Proven{}, err
	}
	proof, err := receive[wire.Proof](c, proofTimeout)
	if err != nil {
		return credential.Proven{}, err
	}
	proven, err := challenge.Verify(proof)
	if err != nil {
		return credential.Proven{}, refusal(err)
	}
	return proven, nil
}

// receive reads a message that must be an M, and closes the connection if it is
// not.
func receive[M wire.Message](c conversation, timeout time.Duration) (M, error) {
	var none M
	m, err := c.Receive(timeout)
	if err != nil {
		c.Close(channel.CodeProtocol, "no message")
		return none, err
	}
	if m, ok := m.(M); ok {
		return m, nil
	}
	c.Close(channel.CodeProtocol, "unexpected message")
	return none, fmt.Errorf("received a %T, want a %T", m, none)
}

// refusal finds the word for an error.
func refusal(err error) error {
	why := wire.RefusedInternal
	for _, r := range []struct {
		err error
		why wire.Refusal
	}{
		{credential.ErrEK, wire.RefusedEK},
		{credential.ErrKeys, wire.RefusedKeys},
		{credential.ErrProof, wire.RefusedProof},
		{ekcert.ErrMismatch, wire.RefusedEK},
		{ekcert.ErrUntrusted, wire.RefusedCertificate},
		{errNoCertificate, wire.RefusedCertificate},
		{store.ErrToken, wire.RefusedToken},
	} {
		if errors.Is(err, r.err) {
			why = r.why
		}
	}
	return refused{why, err}
}
