package eventlog

import (
	"bytes"
	"fmt"
	"slices"

	"quicklime/verifier/quote"
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
	CauseUnknown Cause = ""
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

// Replayed is a log beside the quote that it was replayed to. Only Log.Replay
// makes one; the zero Replayed proves nothing.
type Replayed struct {
	outcomes     []Outcome
	events       []Event
	measurements []Measurement
	locality     locality
}

// Replay compares the log with each quoted PCR in each quoted bank.
func (l Log) Replay(v quote.Verified) Replayed {
	return l.replay(v.PCRs())
}

// ReplayIn compares the log with each PCR that is quoted in bank b, and with no
// other: what is quoted in several banks is then read in this one.
func (l Log) ReplayIn(b pcr.Bank, v quote.Verified) Replayed {
	return l.replay(v.PCRs().In(b))
}

func (l *Log) replay(values pcr.Values) Replayed {
	r := Replayed{locality: l.locality}
	var banks [pcr.Count]pcr.Bank // of the proven PCRs, the one to read events in
	var refuted pcr.Set
	var runtime [pcr.Count]int
	n := 0
	for _, s := range values.Selection() {
		chains := l.chains(s.Bank)
		for i := range s.PCRs.All() {
			o := l.outcome(s.Bank, i, chains[i], values.Digests()[n])
			n++
			r.outcomes = append(r.outcomes, o)
			switch {
			case o.State != Proven:
				refuted |= pcr.Of(i)
			case s.Bank.Size() > banks[i].Size():
				banks[i], runtime[i] = s.Bank, o.Runtime
			}
		}
	}
	for i := range refuted.All() {
		banks[i], runtime[i] = 0, 0
	}
	r.events, r.measurements = l.read(banks), l.measurements(banks, runtime)
	return r
}

// chain is a PCR as the log has it.
type chain struct {
	value  []byte
	events int
	lacks  bool // the digest of an event, or of all
}

// chains extends the PCRs of a bank with the events of the log.
func (l *Log) chains(b pcr.Bank) (c [pcr.Count]chain) {
	lacks := l.row(b) < 0
	for i := range c {
		c[i] = chain{value: reset(b, i, l.locality.value), lacks: lacks}
	}
	if lacks {
		return c
	}
	h := b.Hash().New()
	for i := range l.events {
		e := &l.events[i]
		if e.kind == NoAction {
			continue
		}
		p := &c[e.pcr]
		p.events++
		digest := l.digest(e, b)
		if digest == nil {
			p.lacks = true
			continue
		}
		h.Reset()
		h.Write(p.value)
		h.Write(digest)
		p.value = h.Sum(p.value[:0])
	}
	return c
}

// reset returns what a PCR holds before it is extended: 0xFF… in the PCRs of the
// dynamic launch, 17 to 22, else zeros (TCG PC Client Platform TPM Profile 1.05,
// section 4.6.2). The last byte of PCR 0 is the startup locality, or 4 after an
// H-CRTM (TPM 2.0 Library part 1, section 34.3; PFP 1.06, section 10.4.5.3).
func reset(b pcr.Bank, i int, locality byte) []byte {
	value := make([]byte, b.Size())
	switch {
	case i >= 17 && i <= 22:
		for j := range value {
			value[j] = 0xff
		}
	case i == 0 && len(value) > 0:
		value[len(value)-1] = locality
	}
	return value
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

// Outcomes returns what was found of each quoted PCR, in the order of the quote.
func (r Replayed) Outcomes() []Outcome { return r.outcomes }

// PCR returns what was found of one, or false if it was not quoted.
func (r Replayed) PCR(b pcr.Bank, i int) (Outcome, bool) {
	for _, o := range r.outcomes {
		if o.Bank == b && o.PCR == i {
			return o, true
		}
	}
	return Outcome{}, false
}

// Proven returns the PCRs whose events lead to the quoted value in every bank in
// which they were quoted.
func (r Replayed) Proven() (s pcr.Set) {
	var not pcr.Set
	for _, o := range r.outcomes {
		if o.State == Proven {
			s |= pcr.Of(o.PCR)
		} else {
			not |= pcr.Of(o.PCR)
		}
	}
	return s &^ not
}

// Events returns the events of the proven PCRs, in the order of the log. Each is
// read in the strongest bank in which its PCR was quoted.
func (r Replayed) Events() []Event { return r.events }

// StartupLocality returns the locality of TPM2_Startup, 4 meaning an H-CRTM; false
// unless PCR 0 proves it.
func (r Replayed) StartupLocality() (byte, bool) {
	return r.locality.value, r.Proven().Has(0)
}

// Supposed is a log read without a quote: what it says would be so if its digests
// had been measured.
type Supposed struct {
	bank         pcr.Bank
	chains       [pcr.Count]chain
	events       []Event
	measurements []Measurement
}

// Suppose reads the log in one of its banks, without a quote.
func (l Log) Suppose(b pcr.Bank) (Supposed, error) {
	if !slices.Contains(l.Banks(), b) {
		return Supposed{}, fmt.Errorf("the log is not of bank %v, but of %v", b, l.Banks())
	}
	var banks [pcr.Count]pcr.Bank
	var all [pcr.Count]int
	for i := range banks {
		banks[i], all[i] = b, len(l.runtime)
	}
	return Supposed{b, l.chains(b), l.read(banks), l.measurements(banks, all)}, nil
}

// Bank is the bank that the log was read in.
func (s Supposed) Bank() pcr.Bank { return s.bank }

// Events returns all events, in the order of the log, but those of EV_NO_ACTION
// and those without a digest in the bank.
func (s Supposed) Events() []Event { return s.events }

// PCR returns the value that the events of a PCR lead to, before what systemd measured;
// false if it has none, or one without a digest in the bank.
func (s Supposed) PCR(i int) ([]byte, bool) {
	if i < 0 || i >= pcr.Count || s.chains[i].lacks || s.chains[i].events == 0 {
		return nil, false
	}
	return s.chains[i].value, true
}
