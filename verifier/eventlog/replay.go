package eventlog

import (
	"quicklime/verifier/quote"
	"quicklime/wire/pcr"
)

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
