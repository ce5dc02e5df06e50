package eventlog

import (
	"fmt"
	"slices"

	"quicklime/wire/pcr"
)

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
