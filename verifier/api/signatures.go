package api

import (
	"time"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// Signatures says whose policies are taken.
type Signatures struct {
	Keys     *dsse.Keys       // whom the operator trusts to sign policies
	Required bool             // a policy that is not signed is refused
	Now      func() time.Time // when a signer's certificate has to be valid
}

// Hints about signatures.
const (
	hintTrust = `have it signed by one who is trusted, or add the signer's public key, certificate or CA to policy_keys in verifier.toml and restart the verifier`
	hintSign  = `sign it: "quicklime-tenant policy sign"`
)

// open returns what came as a policy: its text, and, if it is signed, the envelope
// and by whom. Of a signed policy nothing is read before a signature was found good.
func (s Signatures) open(text string) (rest.RuntimePolicy, error) {
	if !dsse.Enveloped([]byte(text)) {
		if s.Required {
			return rest.RuntimePolicy{}, rest.Errorf(rest.CodeInvalid, "the policy is not signed, and this verifier takes signed policies alone (require_signed_policies)").WithHint(hintSign)
		}
		return rest.RuntimePolicy{Text: text}, nil
	}
	e, err := dsse.Parse([]byte(text))
	if err != nil {
		return rest.RuntimePolicy{}, rest.Errorf(rest.CodeInvalid, "%v", err).WithHint(`sign the policy anew: "quicklime-tenant policy sign"`)
	}
	v, err := s.Keys.Verify(e, s.Now())
	if err != nil {
		return rest.RuntimePolicy{}, rest.Errorf(rest.CodeInvalid, "%v", err).WithHint(hintTrust)
	}
	p := rest.RuntimePolicy{Text: string(v.Payload()), Envelope: text}
	for _, by := range v.Signers() {
		p.SignedBy = append(p.SignedBy, rest.Signer{KeyID: by.KeyID, Subject: by.Subject})
	}
	return p, nil
}
