package eventlog

import (
	"bytes"

	"quicklime/verifier/systemdlog"
	"quicklime/wire/pcr"
)

// With returns the log with systemd's own behind it: what it extended PCRs with while
// the system ran. Where the events of a PCR alone do not lead to the quoted value, a
// replay goes on with systemd's records of that PCR, in their order, as far as they
// lead to it. Records behind that are not read: systemd's log may be longer than what
// was quoted, for it is read later.
func (l Log) With(s systemdlog.Log) Log {
	l.runtime = s.Records()
	return l
}

// Measurement is one of systemd's while the system ran, in one bank. Its digest was
// extended, if it comes from Replayed.
type Measurement struct {
	record systemdlog.Record
	bank   pcr.Bank
}

// Number is the place of its record in systemd's log, from 0.
func (m Measurement) Number() int { return m.record.Number() }

// PCR is the index of the PCR that it extended.
func (m Measurement) PCR() int { return m.record.PCR() }

// Bank is the bank in which the record was read.
func (m Measurement) Bank() pcr.Bank { return m.bank }

// Digest is what it extended the PCR with. Do not write to it.
func (m Measurement) Digest() []byte { return m.record.Digest(m.bank) }

// Text is what the digest covers, or false if that is not known.
func (m Measurement) Text() (string, bool) { return m.record.Text(m.bank) }

// Claim is what systemd's log says of it, text and kind, which no digest need cover.
func (m Measurement) Claim() (text, kind string) { return m.record.Claim() }

// continued returns how many of systemd's records of a PCR lead from one value to
// another, or false if none does.
func (l *Log) continued(b pcr.Bank, i int, from, to []byte) (n int, ok bool) {
	for _, r := range l.runtime {
		if r.PCR() != i {
			continue
		}
		digest := r.Digest(b)
		if digest == nil {
			return 0, false
		}
		from = b.Extend(from, digest)
		if n++; bytes.Equal(from, to) {
			return n, true
		}
	}
	return 0, false
}

// measurements reads systemd's records of each PCR in its bank, as many as in take;
// those without a digest in it are left out.
func (l *Log) measurements(banks [pcr.Count]pcr.Bank, take [pcr.Count]int) (all []Measurement) {
	for _, r := range l.runtime {
		i := r.PCR()
		if take[i] == 0 || r.Digest(banks[i]) == nil {
			continue
		}
		take[i]--
		all = append(all, Measurement{r, banks[i]})
	}
	return all
}

// Measurements returns what systemd measured into the proven PCRs while the system ran,
// in the order of its log. Each is read in the bank in which the PCR's events are.
func (r Replayed) Measurements() []Measurement { return r.measurements }

// Measurements returns all that systemd's log says it measured.
func (s Supposed) Measurements() []Measurement { return s.measurements }
