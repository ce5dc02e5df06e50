package rest

import "time"

// Policy is what a RuntimePolicy and a BootPolicy have in common: a text in Keylime's
// JSON that has a name. In the JSON around it the text is a string, so that it keeps
// every byte, and Digest is that of the file.
type Policy struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest,omitempty"`    // SHA-256 of Text
	Text      string    `json:"text,omitempty"`      // not in lists
	Envelope  string    `json:"envelope,omitempty"`  // DSSE around Text; in the answers to GetSignedPolicy and GetSignedBootPolicy alone
	SignedBy  []Signer  `json:"signed_by,omitempty"` // whose signatures were good at UpdatedAt
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	Agents    int       `json:"agents"`             // how many are judged under it
	Unknown   []string  `json:"unknown,omitempty"`  // members that are kept and not understood
	Warnings  []string  `json:"warnings,omitempty"` // what is valid and unlikely to be meant, or is not judged; when it is added or replaced
}

// Common returns p: of a RuntimePolicy or a BootPolicy, what both have.
func (p *Policy) Common() *Policy { return p }

// RuntimePolicy is a named runtime policy.
type RuntimePolicy struct {
	Policy
	Paths    int  `json:"paths"`           // paths with digests
	Excludes int  `json:"excludes"`        // exclusions
	Empty    bool `json:"empty,omitempty"` // nothing in it is evaluated
}

// BootPolicy is a named boot policy: Keylime's measured-boot reference state.
type BootPolicy struct {
	Policy
	SecureBoot bool `json:"secure_boot"` // must be on
	Firmwares  int  `json:"firmwares"`   // alternatives for PCR 0
	Kernels    int  `json:"kernels"`     // alternatives for what is booted
}

// Signer is a key that signed a policy and that the verifier's operator trusts.
type Signer struct {
	KeyID   string `json:"key_id"`            // hex SHA-256 of its SubjectPublicKeyInfo in PEM
	Subject string `json:"subject,omitempty"` // of the certificate that has the key, if that is trusted
}

// PolicyRequest adds or replaces a policy of either kind. Text is the policy, or a DSSE
// envelope with it. The name may be left out of a replacement, whose path has it.
type PolicyRequest struct {
	Name string `json:"name,omitempty"`
	Text Text   `json:"text"`
}

// PolicyList answers ListPolicies with each RuntimePolicy, and ListBootPolicies with
// each BootPolicy.
type PolicyList[T any] struct {
	Policies []T `json:"policies"`
}
