package eventlog

import (
	"bytes"
	"fmt"

	"quicklime/wire/pcr"
)

// State is what a replay found of one PCR in one bank.
type State string

const (
	// Proven: the events of the PCR lead to the quoted value, those of systemd's own
	// log included; see Outcome.Runtime.
	Proven State = "proven"
	// Untouched: the PCR has no event, and holds its reset value.
	Untouched State = "untouched"
	// Unlogged: the PCR has no event, and does not hold its reset value: something
	// extended it that keeps no log here, such as IMA does PCR 10.
	Unlogged State = "unlogged"
	// Mismatch: the events do not lead to the quoted value.
	Mismatch State = "mismatch"
	// NoDigest: the log lacks the digest of the bank, of some event or of all.
	NoDigest State = "no digest"
)

// Cause is what a mismatch would be explained by. It is a hint for people.
type Cause string

const (
	CauseUnknown Cause = "" // or there is no mismatch
	// CauseLocality: from another startup locality than the log has the events
	// lead to the quoted value.
	CauseLocality Cause = "startup locality"
	// CauseExitBootServices: with the events that mark the end of the boot
	// services the log would lead to the quoted value; firmware is known to lose
	// them.
	CauseExitBootServices Cause = "exit of the boot services not logged"
	// CauseEarlier: an earlier event of the log leads to the quoted value.
	CauseEarlier Cause = "later events were never measured"
	// CauseReset: the PCR holds its reset value.
	CauseReset Cause = "nothing was measured"
)

// Outcome is what a replay found of one PCR in one bank.
type Outcome struct {
	Bank   pcr.Bank
	PCR    int
	State  State
	Events int    // of the PCR in the log, without EV_NO_ACTION
	Quoted []byte // the PCR's value
	Got    []byte // what the events lead to; nil: NoDigest
	Cause  Cause  // of a mismatch

	// Runtime is how many records of systemd's log lead from Got to Quoted; 0: the
	// events do so alone, or the PCR is not proven.
	Runtime int
}

// String returns the outcome in a sentence.
func (o Outcome) String() string {
	name := fmt.Sprintf("PCR %d of bank %v", o.PCR, o.Bank)
	switch o.State {
	case Proven:
		if o.Runtime > 0 {
			return fmt.Sprintf("%s: %d events, and %d that systemd's log has behind them, lead to the quoted value", name, o.Events, o.Runtime)
		}
		return fmt.Sprintf("%s: %d events lead to the quoted value", name, o.Events)
	case Untouched:
		return name + " holds its reset value, and the log has no event for it"
	case Unlogged:
		return fmt.Sprintf("%s is %x, and the log has no event for it", name, o.Quoted)
	case NoDigest:
		return name + ": the log has no digest of this bank for each event"
	}
	s := fmt.Sprintf("%s is %x, and the %d events of the log lead to %x", name, o.Quoted, o.Events, o.Got)
	if o.Cause != CauseUnknown {
		s += ": " + string(o.Cause)
	}
	return s
}

func (l *Log) outcome(b pcr.Bank, i int, c chain, quoted []byte) Outcome {
	o := Outcome{Bank: b, PCR: i, Events: c.events, Quoted: quoted}
	if c.lacks {
		o.State = NoDigest
		return o
	}
	o.Got = c.value
	same := bytes.Equal(c.value, quoted)
	switch {
	case c.events == 0 && same:
		o.State = Untouched
	case c.events == 0:
		o.State = Unlogged
	case same:
		o.State = Proven
	default:
		o.State, o.Cause = Mismatch, l.cause(b, i, c.value, quoted)
	}
	if same {
		return o
	}
	if n, ok := l.continued(b, i, c.value, quoted); ok {
		o.State, o.Cause, o.Runtime = Proven, CauseUnknown, n
	}
	return o
}

// exits are what firmware measures into PCR 5 when the boot services end (PFP
// 1.06, section 8.2.4), in the ways that it can end.
var exits = [][]string{
	{"Exit Boot Services Invocation", "Exit Boot Services Returned with Success"},
	{"Exit Boot Services Invocation", "Exit Boot Services Returned with Failure"},
	{"Exit Boot Services Invocation", "Exit Boot Services Returned with Failure", "Exit Boot Services Returned with Success"},
}

// cause looks for what explains a mismatch.
func (l *Log) cause(b pcr.Bank, i int, got, quoted []byte) Cause {
	if i == 5 {
		for _, texts := range exits {
			value := got
			for _, t := range texts {
				value = b.Extend(value, b.Sum([]byte(t)))
			}
			if bytes.Equal(value, quoted) {
				return CauseExitBootServices
			}
		}
	}
	if bytes.Equal(reset(b, i, l.locality.value), quoted) {
		return CauseReset
	}
	for _, start := range []byte{0, 3, 4} {
		if i != 0 && start != 0 {
			break
		}
		value := reset(b, i, start)
		for j := range l.events {
			if e := &l.events[j]; e.kind != NoAction && int(e.pcr) == i {
				value = b.Extend(value, l.digest(e, b))
				if bytes.Equal(value, quoted) && (i != 0 || start == l.locality.value) {
					return CauseEarlier
				}
			}
		}
		if bytes.Equal(value, quoted) {
			return CauseLocality
		}
	}
	return CauseUnknown
}
