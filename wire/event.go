package wire

import "slices"

// EventKind says what became of a machine's trust, for those who rely on it.
type EventKind string

// The kinds of events.
const (
	EventLost     EventKind = "lost"     // it is untrusted, or was trusted and is judged no more
	EventRegained EventKind = "regained" // it is trusted again, after another event said that it was not
	EventStale    EventKind = "stale"    // it was trusted, and no evidence came in time
	EventRaised   EventKind = "raised"   // it is trusted, and the severity of what stands has risen
	EventRemoved  EventKind = "removed"  // it was trusted, and its enrolment ended
)

// EventKinds are all of them.
var EventKinds = []EventKind{EventLost, EventRegained, EventStale, EventRaised, EventRemoved}

// Known reports whether k is one of EventKinds.
func (k EventKind) Known() bool { return slices.Contains(EventKinds, k) }

// Removed is the trust of a machine, in an event, whose enrolment has ended.
const Removed Trust = "removed"

// ValidEventID reports whether s is the id of an event: 32 lower-case hexadecimal
// digits (I03).
func ValidEventID(s string) bool { return len(s) == 32 && isHex(s) }

// Tellable reports whether t is a trust that others may be told of.
func (t Trust) Tellable() bool { return t.known() || t == Removed }
