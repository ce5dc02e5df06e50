package registration

import (
	"errors"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/channel"
)

// Error is a registration that failed for a reason that a person can act on.
type Error struct {
	Why  wire.Refusal // what the registrar said; empty if it said nothing
	Hint string       // what to do next
	err  error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// refusals say what each refusal means and what to do about it. The registrar
// says no more to a machine that it does not know (I09); its log does.
var refusals = map[wire.Refusal]struct{ what, hint string }{
	wire.RefusedToken: {
		"the join token is unknown, expired or used",
		"have the operator make a new one: quicklime-tenant join-token create"},
	wire.RefusedEK: {
		"it does not accept the TPM's endorsement key: it is not of a TCG default template (RSA-2048 or ECC P-256), or the TPM's certificate is of another key",
		"the registrar's log says which; a TPM that was provisioned otherwise is not supported"},
	wire.RefusedCertificate: {
		"the certificate of the TPM's endorsement key is not signed by a vendor that the operator trusts",
		"have the operator put the certificate of the TPM vendor's CA that issued it into the registrar's ek_trust_anchors directory and start the registrar again; its log names the issuer"},
	wire.RefusedKeys: {
		"it does not accept the keys that this agent made in the TPM",
		"install the same version of quicklime on both machines; the registrar's log says more"},
	wire.RefusedProof: {
		"the TPM did not prove that its keys belong together",
		"see that nothing stands between agent and TPM, and that both have time: the registrar waits for seconds only"},
	wire.RefusedInternal: {
		"it could not decide", "try again later; the registrar's log says why"},
}

// refusal explains what the registrar answered.
func refusal(why wire.Refusal) error {
	r, ok := refusals[why]
	if !ok {
		r.what, r.hint = fmt.Sprintf("for a reason that this version does not know, %q", why), "the registrar's log says more"
	}
	return &Error{why, r.hint, fmt.Errorf("the registrar refused: %s", r.what)}
}

// unreachable explains why there is no connection to the token's registrar.
func unreachable(err error) error {
	hint := "see that the token is of this installation, that the registrar runs at the token's address, and that UDP reaches it"
	if closed, ok := errors.AsType[*channel.CloseError](err); ok && closed.Code == channel.CodeBusy {
		hint = "try again in a minute"
	}
	return &Error{"", hint, fmt.Errorf("registrar: %w", err)}
}
