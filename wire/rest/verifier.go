// Package rest is the REST API of registrar and verifier: its routes, bodies
// and errors with their status codes, each in one table, so that servers, the
// client and the documentation cannot disagree.
//
// Bodies are JSON; times are RFC 3339 in UTC; byte strings are base64; digests
// and ids are lower-case hexadecimal. An unknown member of a request is an
// error. Every call needs a client certificate of the installation's own CA
// over TLS 1.3.
package rest

import (
	"encoding/json"
	"errors"
	"time"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/strictjson"
)

// Enrolment asks the verifier to watch an agent. It becomes one immutable
// record: from it the verifier pins AK and transport key (I06).
type Enrolment struct {
	ID         string   `json:"id"`
	Label      string   `json:"label"`
	EKPublic   []byte   `json:"ek_public"`        // TPMT_PUBLIC; must hash to ID
	AKPublic   []byte   `json:"ak_public"`        // TPMT_PUBLIC
	Transport  []byte   `json:"transport_public"` // TPMT_PUBLIC
	LowestBank pcr.Bank `json:"lowest_bank"`      // weakest bank whose quotes count; sha256 unless the operator says otherwise (I15)
	Policy     string   `json:"policy,omitempty"` // name of the runtime policy; empty is "not evaluated" (I21)

	BootPolicy string `json:"boot_policy,omitempty"` // name of the boot policy; empty as above
	TPMPolicy  Text   `json:"tpm_policy,omitempty"`  // Keylime's tpm_policy, as JSON in a string; empty as above
}

// AgentUpdate changes what an operator may change without a new enrolment. A
// nil member stays as it is; an empty policy takes the policy away.
type AgentUpdate struct {
	Label      *string `json:"label,omitempty"`
	Policy     *string `json:"policy,omitempty"`
	BootPolicy *string `json:"boot_policy,omitempty"`
	TPMPolicy  *Text   `json:"tpm_policy,omitempty"` // as in Enrolment
}

// ClearRequest says what the operator has seen, so that nothing is cleared unseen:
// FailureCount and FailuresListed of an Agent.
type ClearRequest struct {
	Failures int    `json:"failures"`
	Listed   string `json:"listed"`
}

// Agent is an enrolled agent as the verifier sees it now. Trust is computed when
// it is read.
type Agent struct {
	ID           string         `json:"id"`
	Label        string         `json:"label"`
	Revision     int64          `json:"revision"` // grows with every change of the record (I22)
	Trust        wire.Trust     `json:"trust"`
	Reason       string         `json:"reason,omitempty"`      // why it is not trusted, in words
	FreshUntil   *time.Time     `json:"fresh_until,omitempty"` // when the last evidence stops counting
	Connected    bool           `json:"connected"`
	EnrolledAt   time.Time      `json:"enrolled_at"`
	LowestBank   pcr.Bank       `json:"lowest_bank"`
	Policies     Policies       `json:"policies"`
	Epoch        *Epoch         `json:"epoch,omitempty"`
	Last         *Attestation   `json:"last_attestation,omitempty"`
	Rejected     *Rejection     `json:"last_rejected,omitempty"`
	Failures     []wire.Failure `json:"failures,omitempty"` // of GetAgent; the gravest wire.MaxKeptFailures, the oldest first
	FailureCount int            `json:"failure_count"`
	Cleared      *Cleared       `json:"cleared,omitempty"`

	ToleratedCount int            `json:"tolerated_count,omitempty"`    // of FailureCount: those that do not make untrusted
	Severity       string         `json:"severity,omitempty"`           // the highest label that stands, of failures and conditions
	RaisedAt       *time.Time     `json:"severity_raised_at,omitempty"` // when it rose last, while something stands
	Conditions     []wire.Failure `json:"conditions,omitempty"`         // of GetAgent; what the policy waits for, which is over by itself

	TPMPolicy string   `json:"tpm_policy,omitempty"` // of GetAgent; its text
	Notices   *Notices `json:"notices,omitempty"`    // while it is connected and takes them

	FailuresListed string `json:"failures_listed,omitempty"` // of GetAgent; stands for Failures in a ClearRequest
}

// Notices says what an agent has of the notices of other machines.
type Notices struct {
	Last    uint64 `json:"last"`    // number of the last that it accepted
	Missing uint64 `json:"missing"` // in this session: those that it says are missing

	Key      NoticeKey          `json:"key,omitempty"`         // how its key stands to the verifier's; "": it does not say
	Refused  wire.NoticeRefusal `json:"refused,omitempty"`     // why it does not accept the next one; "": it does
	ClockOff float64            `json:"clock_off_s,omitempty"` // with wire.RefusedClock: how far its clock is ahead of the verifier's, seconds
}

// NoticeKey says how the key under which an agent accepts notices stands to the
// verifier's revocation key.
type NoticeKey string

// The states of a key.
const (
	NoticeKeyCurrent NoticeKey = "current" // it is that key
	NoticeKeyEarlier NoticeKey = "earlier" // that key took its place; the agent is on its way
	NoticeKeyUnknown NoticeKey = "unknown" // nothing leads from it to that key: the machine has to join again
)

// Cleared says what operators have cleared since the agent was enrolled.
type Cleared struct {
	Count int       `json:"count"` // failures
	At    time.Time `json:"at"`    // the last time
}

// Policies says which policy judges what: its name, or wire.NotEvaluated.
type Policies struct {
	Runtime string `json:"runtime"`
	Boot    string `json:"boot"`
	TPM     string `json:"tpm"` // has no name: SHA-256 of its text

	BootDigest string `json:"boot_digest,omitempty"` // SHA-256 of the boot policy's text

	RuntimeSignedBy []Signer `json:"runtime_signed_by,omitempty"` // as in RuntimePolicy
	BootSignedBy    []Signer `json:"boot_signed_by,omitempty"`    // as in BootPolicy
}

// Epoch is one boot of a machine, as its TPM signed it.
type Epoch struct {
	ID           string    `json:"id"`
	ResetCount   uint32    `json:"reset_count"`
	RestartCount uint32    `json:"restart_count"`
	Entries      uint64    `json:"entries"` // certified entries of the measurement list
	IMABank      pcr.Bank  `json:"ima_bank"`
	StartedAt    time.Time `json:"started_at"` // first certified evidence of the epoch
}

// Attestation is the last evidence whose quote was verified.
type Attestation struct {
	At          time.Time    `json:"at"` // when its verdict was committed
	NonceIssued time.Time    `json:"nonce_issued_at"`
	Trigger     wire.Trigger `json:"trigger"`
	First       uint64       `json:"first_entry"`  // index of the first entry it carried
	Entries     uint64       `json:"entries"`      // how many it carried
	ReplayNanos int64        `json:"replay_nanos"` // parsing, hashing and judging them
	Clock       uint64       `json:"tpm_clock_ms"`
	Firmware    string       `json:"tpm_firmware"` // hex
}

// Rejection is the last evidence that proved nothing: no verdict came of it.
type Rejection struct {
	At      time.Time      `json:"at"`
	ID      wire.FailureID `json:"id"`
	Message string         `json:"message"`
	Count   int64          `json:"count"` // rejected since enrolment
}

// AgentList answers ListAgents, without the failures of each.
type AgentList struct {
	Agents     []Agent `json:"agents"`
	Unreadable int     `json:"unreadable,omitempty"` // rows that could not be read (I10)
}

// Text is a string that is read as it was written. One that encoding/json would repair,
// which is not UTF-8 or has half a character, is refused: its digest and its signature
// would be those of another.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(raw []byte) error {
	if strictjson.Repaired(raw) {
		return errors.New("a text that is not UTF-8, or has an escape for half a character: send it as it is, in UTF-8")
	}
	return json.Unmarshal(raw, (*string)(t))
}
