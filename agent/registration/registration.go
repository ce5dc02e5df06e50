// Package registration makes a machine known to a registrar: the agent's half of
// the exchange that quicklime/registrar/credential specifies.
//
// Registering changes nothing on the machine. What is to be kept of it, the
// membership, is returned; the token's secret is not in it.
package registration

import (
	"context"
	"errors"
	"fmt"

	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/jointoken"
	"quicklime/wire/tpm"
)

// TPM is what registering needs of a TPM. *tpmdev.Device is one.
type TPM interface {
	Endorsement() (tpmdev.Endorsement, error)
	AK() ([]byte, error)
	Transport() (*tpmdev.TransportKey, error)
	CertifyTransport(qualifying []byte) (attest, signature []byte, err error)
	ActivateCredential(object, secret []byte) ([]byte, error)
}

// Machine is what a machine says of itself. Nothing of it is believed.
type Machine struct {
	Label    string // at most wire.MaxLabel bytes, printable
	Software string // the agent's version
}

// Registered is the outcome of a registration that succeeded.
type Registered struct {
	Membership jointoken.Membership
	Outcome    wire.Outcome
}

// Register registers the TPM with the token's registrar. It gives up when ctx
// ends. An error in which errors.As finds an *Error has a hint for a person.
func Register(ctx context.Context, dev TPM, token jointoken.Token, machine Machine) (Registered, error) {
	if !wire.Printable(machine.Label, wire.MaxLabel) {
		return Registered{}, &Error{
			Hint: "set label in agent.toml",
			err:  fmt.Errorf("the label %q is longer than %d bytes or cannot be printed", machine.Label, wire.MaxLabel),
		}
	}
	id, err := identify(dev)
	if err != nil {
		return Registered{}, err
	}
	conn, err := channel.Dial(ctx, channel.DialConfig{
		Addr: token.Registrar.Address, ServerName: token.Registrar.ServerName, CAPin: token.CAPin,
		ALPN: wire.ALPNRegister, Exporter: wire.ExporterRegister, Certificate: id.certificate,
	})
	if err != nil {
		return Registered{}, unreachable(err)
	}
	defer conn.Close(channel.CodeDone, "")
	defer context.AfterFunc(ctx, func() { conn.Close(channel.CodeDone, "") })()
	got, err := id.exchange(dev, conn, token, machine)
	if err != nil {
		return Registered{}, errors.Join(err, ctx.Err())
	}
	return Registered{token.Membership(got.ID), got.Outcome}, nil
}

// exchange speaks the protocol on a fresh connection.
func (id identity) exchange(dev TPM, conn *channel.Conn, token jointoken.Token, machine Machine) (wire.Registered, error) {
	register, err := id.register(dev, conn.Exporter())
	if err != nil {
		return wire.Registered{}, err
	}
	register.Software, register.Label = machine.Software, machine.Label
	register.TokenID, register.TokenSecret = token.ID, token.Secret[:]
	credential, err := ask[wire.Credential](conn, register)
	if err != nil {
		return wire.Registered{}, err
	}
	mac, err := answer(dev, register, credential, conn.Exporter())
	if err != nil {
		return wire.Registered{}, err
	}
	got, err := ask[wire.Registered](conn, wire.Proof{HMAC: mac})
	if err != nil {
		return wire.Registered{}, err
	}
	if want := id.ek.AgentID(); got.ID != want {
		return wire.Registered{}, fmt.Errorf("the registrar calls this machine %s, but it is %s", got.ID, want)
	}
	return got, nil
}

// ask sends a message and receives the answer, which is an M or a refusal.
func ask[M wire.Message](conn *channel.Conn, m wire.Message) (M, error) {
	var none M
	if err := conn.Send(m); err != nil {
		return none, fmt.Errorf("registrar: %w", err)
	}
	got, err := conn.Receive(wire.FrameTimeout)
	if err != nil {
		return none, fmt.Errorf("registrar: %w", err)
	}
	switch got := got.(type) {
	case M:
		return got, nil
	case wire.Refused:
		return none, refusal(got.Why)
	}
	return none, fmt.Errorf("registrar: it answered with a %T, want a %T", got, none)
}

// answer opens the credential and returns the proof of it.
func answer(dev TPM, register wire.Register, credential wire.Credential, exporter []byte) ([]byte, error) {
	r, err := wire.AppendFrame(nil, register)
	if err != nil {
		return nil, err
	}
	c, err := wire.AppendFrame(nil, credential)
	if err != nil {
		return nil, err
	}
	secret, err := dev.ActivateCredential(credential.Object, credential.Secret)
	if err != nil {
		return nil, err
	}
	return wire.RegisterProof(secret, r, c, exporter), nil
}

// parsed reads a public area that the TPM returned.
func parsed(what string, area []byte, err error) (tpm.Public, error) {
	if err != nil {
		return tpm.Public{}, err
	}
	p, err := tpm.ParsePublic(area)
	if err != nil {
		return tpm.Public{}, fmt.Errorf("%s of the TPM: %w", what, err)
	}
	return p, nil
}
