package rest

import "time"

// MaxPayloadPiece bounds the ciphertext that one PutPayload carries: some seconds
// even over a slow line, so that what was lost with a connection is soon sent again.
const MaxPayloadPiece = 4 << 20 // bytes

// PayloadUpload begins the upload of a version of a payload. Name, version and the
// rest are in the manifest (quicklime/wire/payload), which the verifier cannot check
// and need not: the agent does.
type PayloadUpload struct {
	Manifest []byte `json:"manifest"`
	Object   []byte `json:"object"` // of U, sealed to the agent's TPM
	Secret   []byte `json:"secret"`
	Share    []byte `json:"share"` // V; no answer ever has it
}

// String keeps the share out of logs.
func (PayloadUpload) String() string { return "(the upload of a payload)" }

// GoString keeps the share out of logs.
func (u PayloadUpload) GoString() string { return u.String() }

// Payload is a version of a payload as the verifier knows it.
type Payload struct {
	Name        string     `json:"name"`
	Version     uint64     `json:"version"`
	Revision    int64      `json:"revision"` // of this record; grows with every change
	Kind        string     `json:"kind"`
	File        string     `json:"file,omitempty"`
	Size        uint64     `json:"size"`     // of the plaintext, as the manifest says
	Sealed      uint64     `json:"sealed"`   // of the ciphertext
	Received    uint64     `json:"received"` // of Sealed
	Complete    bool       `json:"complete"` // it is offered to the agent
	AddedAt     time.Time  `json:"added_at"`
	ExpiresAt   time.Time  `json:"expires_at"`
	ReleasedAt  *time.Time `json:"released_at,omitempty"` // when the verifier's share was released last
	Releases    int64      `json:"releases"`
	RefusedAt   *time.Time `json:"refused_at,omitempty"` // when the agent last said that it does not open it
	Refusal     string     `json:"refusal,omitempty"`    // why
	Receipt     []byte     `json:"receipt,omitempty"`    // of the agent, which only the sender can check
	ReceiptAt   *time.Time `json:"receipt_at,omitempty"`
	WithdrawnAt *time.Time `json:"withdrawn_at,omitempty"`
}

// PayloadList answers ListPayloads.
type PayloadList struct {
	Payloads   []Payload `json:"payloads"`
	Unreadable int       `json:"unreadable,omitempty"` // rows that could not be read (I10)
	Floor      uint64    `json:"floor,omitempty"`      // the greatest version whose record was forgotten; every new one is greater
}

// AgentPayloads is the payloads of one agent of many.
type AgentPayloads struct {
	Agent string `json:"agent"`
	Label string `json:"label"`
	PayloadList
}

// AllPayloads answers ListAllPayloads.
type AllPayloads struct {
	Agents []AgentPayloads `json:"agents"`         // those that have, or had, payloads, by id
	Next   string          `json:"next,omitempty"` // there are more agents: their ids are greater than this
}
