package eventlog

import "quicklime/wire/pcr"

// Check says what is known of an event's data.
type Check string

const (
	// Checked: the digest was recomputed from the data.
	Checked Check = "checked"
	// DigestOnly: the digest is of something that the log does not have, such as
	// an image, a file or a table.
	DigestOnly Check = "digest only"
	// Contradicted: by its type the digest is of the data, and it is not.
	Contradicted Check = "contradicted"
)

// Quirk names another way than the specification's in which the data of an event
// was read, because software is known to write it so.
type Quirk string

const (
	// QuirkTrailingByte: an old shim logs EV_EFI_VARIABLE_AUTHORITY with bytes of its
	// memory behind the variable, and measures all of them but the last (shim:
	// tpm.c, tpm_measure_variable, before commit 8a27a4809a6a).
	QuirkTrailingByte Quirk = "a byte behind the variable was not measured"
	// QuirkBehind: what was measured has bytes behind the structure.
	QuirkBehind Quirk = "bytes behind the structure"
)

// Event is one event in one bank. Its digest was extended, if it comes from
// Replayed. What it says beside that is in Data if the digest covers it, else in
// Claim.
type Event struct {
	record *record
	bank   pcr.Bank
	digest []byte
	data   Data
	check  Check
	quirk  Quirk
}

// Number is the event's place in the log, from 0.
func (e Event) Number() int { return e.record.number }

// Offset is where it begins in the log, in bytes.
func (e Event) Offset() int { return e.record.offset }

// PCR is the index of the PCR that it extends.
func (e Event) PCR() int { return int(e.record.pcr) }

// Type is what the log calls the event. No digest covers it.
func (e Event) Type() Type { return e.record.kind }

// Bank is the bank in which the event was read.
func (e Event) Bank() pcr.Bank { return e.bank }

// Digest is what it extends the PCR with. Do not write to it.
func (e Event) Digest() []byte { return e.digest }

// Check says whether Data is known.
func (e Event) Check() Check { return e.check }

// Data is what the digest covers, or nil unless Check is Checked. A type switch
// tells the forms apart.
func (e Event) Data() Data { return e.data }

// Quirk names how the data was read, if not as the specification has it.
func (e Event) Quirk() Quirk { return e.quirk }

// Claim is what the log says of the event.
func (e Event) Claim() Claim { return Claim{e.record} }

// Claim is what a log says of an event, which whoever wrote the log could write
// as they liked. It is good for showing to people, and for finding the event that
// a digest is to be compared with.
type Claim struct{ record *record }

// Unchecked returns the event's data. Do not write to it.
func (c Claim) Unchecked() []byte { return c.record.data }

// Label returns the data as text, as boot loaders log what a digest is of, or
// false if it is none. It is ASCII, or UTF-16 as systemd-stub writes it, without
// the NUL at its end.
func (c Claim) Label() (string, bool) { return text(c.record.data) }

// Role tells what GRUB says it did with the line in Data.
func (c Claim) Role() Role {
	role, _, _ := cutRole(c.record.data)
	return role
}

// Variable returns the event's variable. Of EV_EFI_VARIABLE_BOOT the digest covers
// the value and not the name.
func (c Claim) Variable() (Variable, bool) {
	v, behind, ok := parseVariable(c.record.data)
	return v, ok && len(behind) == 0
}

// Image returns where an image was loaded from.
func (c Claim) Image() (Image, bool) { return parseImage(c.record.data) }

// Tag returns the number and the text of a tagged event of which the digest
// covers neither, as Linux' EFI stub and systemd write them.
func (c Claim) Tag() (id uint32, label string, ok bool) {
	t, ok := parseTagged(c.record.data)
	if !ok {
		return 0, "", false
	}
	label, _ = text(t.Value)
	return t.ID, label, true
}

// read reads the events of each PCR in its bank; those of a PCR with no bank are
// left out, and so are those without a digest in it.
func (l *Log) read(banks [pcr.Count]pcr.Bank) []Event {
	n := 0
	for i := range l.events {
		if e := &l.events[i]; e.kind != NoAction && banks[e.pcr] != 0 {
			n++
		}
	}
	events := make([]Event, 0, n)
	hashing := map[pcr.Bank]*measured{}
	for i := range l.events {
		r := &l.events[i]
		if r.kind == NoAction || banks[r.pcr] == 0 {
			continue
		}
		e := Event{record: r, bank: banks[r.pcr], digest: l.digest(r, banks[r.pcr])}
		if e.digest == nil {
			continue
		}
		m := hashing[e.bank]
		if m == nil {
			m = &measured{h: e.bank.Hash().New()}
			hashing[e.bank] = m
		}
		e.interpret(m)
		events = append(events, e)
	}
	return events
}
