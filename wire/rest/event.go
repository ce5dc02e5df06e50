package rest

import (
	"time"

	"quicklime/wire"
)

// Event says that the trust of a machine changed, or what stands against it. It is
// written once, with the change, and its ID tells a second delivery from a second
// event.
type Event struct {
	Sequence int64          `json:"sequence"` // grows; numbers may be left out
	ID       string         `json:"id"`       // 32 hexadecimal digits
	Kind     wire.EventKind `json:"kind"`
	Agent    string         `json:"agent"`
	Label    string         `json:"label"`
	Epoch    string         `json:"epoch,omitempty"`
	Was      wire.Trust     `json:"was"` // as others were told last
	Trust    wire.Trust     `json:"trust"`
	Failure  *wire.Failure  `json:"failure,omitempty"`  // the gravest that stands, of these the newest, or what the policy waits for
	Severity string         `json:"severity,omitempty"` // its label
	Peer     string         `json:"peer,omitempty"`     // address and port of the agent's last session
	At       time.Time      `json:"at"`
	Notice   uint64         `json:"notice,omitempty"` // its number among the notices to agents; 0: it is none
}

// FailureID is that of the failure, or empty.
func (e Event) FailureID() wire.FailureID {
	if e.Failure == nil {
		return ""
	}
	return e.Failure.ID
}

// MaxEvents bounds what one answer lists.
const MaxEvents = 1000

// EventList answers ListEvents, the oldest first.
type EventList struct {
	Events []Event `json:"events"`
	Last   int64   `json:"last"` // sequence of the newest event there is, or was
}

// DeadLetter is an event that a webhook did not take, and that is not sent any more.
type DeadLetter struct {
	Webhook string    `json:"webhook"`
	Tries   int       `json:"tries"`
	DeadAt  time.Time `json:"dead_at"`
	Problem string    `json:"problem"` // of the last try
	Event   Event     `json:"event"`
}

// DeadLetterList answers ListDeadLetters, the oldest events first.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Waiting     int          `json:"waiting"`        // deliveries that are still tried
	More        bool         `json:"more,omitempty"` // there are others beyond MaxEvents
}

// DeadLetterRequest names dead letters: all that fit what is not empty.
type DeadLetterRequest struct {
	Webhook string `json:"webhook,omitempty"`
	Event   string `json:"event,omitempty"` // an ID
}

// DeadLetterCount says how many dead letters a request concerned.
type DeadLetterCount struct {
	Count int `json:"count"`
}

// RevocationKeys are the keys by which the verifier signs what it tells others.
type RevocationKeys struct {
	Notice  []byte `json:"notice"`            // SubjectPublicKeyInfo, ECDSA P-256: notices to agents and HTTP signatures
	Keylime []byte `json:"keylime,omitempty"` // SubjectPublicKeyInfo, RSA: the signature of Keylime's webhook body
}
