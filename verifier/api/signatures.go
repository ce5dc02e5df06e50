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

const hintTrust = `have it signed by one who is trusted, or add the signer's public key, certificate or CA to policy_keys in verifier.toml and restart the verifier`

// open returns what came as a policy: its text, and, if it is signed, the envelope
// and by whom. Of a signed policy nothing is read before a signature was found good.
func (p policies[T]) open(text string) (rest.Policy, error) {
	sign := `"quicklime-tenant ` + p.noun + ` sign"`
	if !dsse.Enveloped([]byte(text)) {
		if p.signatures.Required {
			return rest.Policy{}, rest.Errorf(rest.CodeInvalid, "the %s is not signed, and this verifier takes signed policies alone (require_signed_policies)", p.kind).WithHint("sign it: %s", sign)
		}
		return rest.Policy{Text: text}, nil
	}
	e, err := dsse.Parse(p.of, []byte(text))
	if err != nil {
		return rest.Policy{}, rest.Errorf(rest.CodeInvalid, "%v", err).WithHint("sign the %s anew: %s", p.kind, sign)
	}
	v, err := p.signatures.Keys.Verify(e, p.signatures.Now())
	if err != nil {
		return rest.Policy{}, rest.Errorf(rest.CodeInvalid, "%v", err).WithHint(hintTrust)
	}
	out := rest.Policy{Text: string(v.Payload()), Envelope: text}
	for _, by := range v.Signers() {
		out.SignedBy = append(out.SignedBy, rest.Signer{KeyID: by.KeyID, Subject: by.Subject})
	}
	return out, nil
}
