package actions

import (
	"time"

	"quicklime/wire"
	"quicklime/wire/notice"
)

// Event is what an action reads on standard input, as JSON. The first fields have
// Keylime's names, so that its local actions find what they look for.
type Event struct {
	Type          string         `json:"type"`     // "revocation"; of the kinds that say nothing bad the kind
	AgentID       string         `json:"agent_id"` // the machine that it is about
	EventID       wire.FailureID `json:"event_id"` // what failed
	SeverityLabel string         `json:"severity_label"`
	EventTime     string         `json:"event_time"` // as C's asctime writes it, UTC

	ID          string         `json:"id"` // of the event: the same again is a repetition
	Sequence    uint64         `json:"sequence"`
	Kind        wire.EventKind `json:"kind"`
	ThisMachine bool           `json:"this_machine"` // it is about the machine that this runs on
	Label       string         `json:"label"`
	Epoch       string         `json:"epoch"`
	Was         wire.Trust     `json:"was"`
	Trust       wire.Trust     `json:"trust"`
	At          time.Time      `json:"at"`
	Dropped     uint64         `json:"dropped,omitempty"` // of kind "dropped": so many notices are lost, about no machine in particular
}

// EventOf is the event of a notice, for the machine with that id.
func EventOf(n notice.Notice, machine string) Event {
	e := Event{
		Type: "revocation", AgentID: n.Subject, EventID: n.Failure, SeverityLabel: n.Severity, EventTime: n.At.UTC().Format(time.ANSIC),
		ID: n.ID, Sequence: n.Sequence, Kind: n.Kind, ThisMachine: n.Subject == machine, Label: n.Label, Epoch: n.Epoch,
		Was: n.Was, Trust: n.Trust, At: n.At, Dropped: n.Dropped,
	}
	switch n.Kind {
	case wire.EventRegained, wire.EventRaised, notice.Dropped:
		e.Type = string(n.Kind)
	}
	return e
}
