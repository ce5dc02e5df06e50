package eventlog

import (
	"encoding/binary"
	"fmt"
	"slices"

	"quicklime/verifier/systemdlog"
	"quicklime/wire/pcr"
)

// Log is a parsed log. It keeps the bytes that it was parsed from. The zero Log
// has no event.
type Log struct {
	agile    bool
	table    []bankSize
	events   []record
	locality locality
	runtime  []systemdlog.Record
}

// bankSize is a row of TCG_EfiSpecIDEvent.digestSizes.
type bankSize struct {
	bank pcr.Bank
	size int // bytes
}

// record is one event as it stands in the log.
type record struct {
	number, offset int // from 0
	pcr            uint32
	kind           Type
	digests        []byte // crypto agile: {bank u16, digest} …; else the SHA-1 digest
	data           []byte
}

// Parse reads a log of at most MaxLog bytes. An error is ErrMalformed and says
// the number of the event and its offset in bytes.
func Parse(b []byte) (Log, error) {
	if len(b) > MaxLog {
		return Log{}, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrMalformed, len(b), MaxLog)
	}
	var l Log
	c := cursor{b: b}
	for len(c.rest()) > 0 {
		r := record{number: len(l.events), offset: c.at}
		if err := l.next(&c, &r); err != nil {
			return Log{}, fmt.Errorf("event %d at byte %d: %w", r.number, r.offset, err)
		}
		l.events = append(l.events, r)
	}
	if len(l.events) == 0 {
		return Log{}, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	return l, nil
}

// next reads the event at c, of which number and offset are known.
func (l *Log) next(c *cursor, r *record) error {
	if r.number == MaxEvents {
		return fmt.Errorf("%w: it has more than %d events", ErrMalformed, MaxEvents)
	}
	r.pcr, r.kind = c.u32(), Type(c.u32())
	if l.agile {
		if err := l.digests(c, r); err != nil {
			return err
		}
	} else {
		r.digests = c.bytes(uint64(pcr.SHA1.Size()))
	}
	if r.data = c.bytes(uint64(c.u32())); c.short {
		return fmt.Errorf("%w: it ends inside the event", ErrMalformed)
	}
	switch {
	case r.number == 0:
		return l.first(r)
	case r.kind == NoAction:
		return l.noAction(r)
	case r.pcr >= pcr.Count:
		return fmt.Errorf("%w: there is no PCR %d", ErrMalformed, r.pcr)
	}
	l.locality.closed = l.locality.closed || r.pcr == 0
	return nil
}

// digests reads count u32 | count × {bank u16 | digest}. Each bank is of the
// table and occurs once.
func (l *Log) digests(c *cursor, r *record) error {
	n := c.u32()
	if !c.short && (n == 0 || n > uint32(len(l.table))) {
		return fmt.Errorf("%w: %d digests, the log is of %d banks", ErrMalformed, n, len(l.table))
	}
	from := c.at
	var seen [MaxBanks]bool
	for range n {
		bank := pcr.Bank(c.u16())
		if c.short {
			break
		}
		i := l.row(bank)
		if i < 0 || seen[i] {
			return fmt.Errorf("%w: a digest of bank %v, which the log is not of, or a second one", ErrMalformed, bank)
		}
		seen[i] = true
		c.bytes(uint64(l.table[i].size))
	}
	if !c.short {
		r.digests = c.b[from:c.at:c.at]
	}
	return nil
}

// row is the index of a bank in the table, or -1.
func (l *Log) row(b pcr.Bank) int {
	for i, t := range l.table {
		if t.bank == b {
			return i
		}
	}
	return -1
}

// specID is TCG_EfiSpecIDEvent.signature of a crypto agile log.
const specID = "Spec ID Event03\x00"

// first tells from the first event of which form the log is.
func (l *Log) first(r *record) error {
	if r.kind != NoAction || len(r.data) < len(specID) || string(r.data[:len(specID)]) != specID {
		l.table = []bankSize{{pcr.SHA1, pcr.SHA1.Size()}}
		switch {
		case r.kind == NoAction:
			return l.noAction(r)
		case r.pcr >= pcr.Count:
			return fmt.Errorf("%w: there is no PCR %d", ErrMalformed, r.pcr)
		}
		l.locality.closed = r.pcr == 0
		return nil
	}
	if r.pcr != 0 || [20]byte(r.digests) != [20]byte{} {
		return fmt.Errorf("%w: TCG_EfiSpecIDEvent for PCR %d with digest %x, want PCR 0 and zeros", ErrMalformed, r.pcr, r.digests)
	}
	l.agile = true
	return l.specIDEvent(r.data)
}

// specIDEvent reads the table of banks (PFP 1.06, section 10.4.5.1):
//
//	signature [16]byte | platformClass u32 | specVersionMinor u8 | specVersionMajor u8 |
//	specErrata u8 | uintnSize u8 | numberOfAlgorithms u32 |
//	numberOfAlgorithms × {algorithmId u16 | digestSize u16} | vendorInfoSize u8 | vendorInfo
func (l *Log) specIDEvent(data []byte) error {
	c := cursor{b: data}
	c.bytes(uint64(len(specID)))
	c.u32() // platformClass
	minor, major := c.u8(), c.u8()
	c.u16() // specErrata, uintnSize
	n := c.u32()
	switch {
	case c.short:
		return fmt.Errorf("%w: TCG_EfiSpecIDEvent of %d bytes", ErrMalformed, len(data))
	case major != 2 || minor != 0:
		return fmt.Errorf("%w: it is of version %d.%d of the specification, and 2.0 is read", ErrMalformed, major, minor)
	case n == 0 || n > MaxBanks:
		return fmt.Errorf("%w: it is of %d banks, want 1 to %d", ErrMalformed, n, MaxBanks)
	}
	for range n {
		t := bankSize{pcr.Bank(c.u16()), int(c.u16())}
		switch {
		case c.short:
			return fmt.Errorf("%w: TCG_EfiSpecIDEvent ends inside its table", ErrMalformed)
		case l.row(t.bank) >= 0:
			return fmt.Errorf("%w: bank %v is named twice", ErrMalformed, t.bank)
		case t.bank.Known() && t.size != t.bank.Size(), t.size == 0 || t.size > MaxDigest:
			return fmt.Errorf("%w: digests of %d bytes in bank %v", ErrMalformed, t.size, t.bank)
		}
		l.table = append(l.table, t)
	}
	if c.bytes(uint64(c.u8())); !c.done() {
		return fmt.Errorf("%w: TCG_EfiSpecIDEvent has %d bytes, which is not what it says", ErrMalformed, len(data))
	}
	return nil
}

// locality is what StartupLocality said.
type locality struct {
	value  byte
	stated bool
	closed bool // PCR 0 was extended
}

// startupLocality is TCG_EfiStartupLocalityEvent.signature.
const startupLocality = "StartupLocality\x00"

// noAction reads an EV_NO_ACTION event, which extends nothing. Of all their kinds
// one bears on the replay (PFP 1.06, section 10.4.5.3): signature [16]byte |
// StartupLocality u8, where 0 and 3 are the locality of TPM2_Startup and 4 is a
// boot with an H-CRTM. It comes before the first extend of PCR 0, once.
func (l *Log) noAction(r *record) error {
	if len(r.data) < len(startupLocality) || string(r.data[:len(startupLocality)]) != startupLocality {
		return nil
	}
	c := cursor{b: r.data[len(startupLocality):]}
	value := c.u8()
	switch {
	case !c.done() || r.pcr != 0:
		return fmt.Errorf("%w: StartupLocality of %d bytes for PCR %d, want 17 for PCR 0", ErrMalformed, len(r.data), r.pcr)
	case value != 0 && value != 3 && value != 4:
		return fmt.Errorf("%w: StartupLocality is %d, want 0, 3 or 4", ErrMalformed, value)
	case l.locality.closed:
		return fmt.Errorf("%w: StartupLocality after PCR 0 was extended", ErrMalformed)
	case l.locality.stated:
		return fmt.Errorf("%w: a second StartupLocality", ErrMalformed)
	}
	l.locality.value, l.locality.stated = value, true
	return nil
}

// Len is the number of events, those that extend nothing included.
func (l Log) Len() int { return len(l.events) }

// Banks returns the banks that the log says to be of and that can be replayed,
// weakest first.
func (l Log) Banks() (banks []pcr.Bank) {
	for _, t := range l.table {
		if t.bank.Known() {
			banks = append(banks, t.bank)
		}
	}
	slices.SortFunc(banks, func(a, b pcr.Bank) int { return a.Size() - b.Size() })
	return banks
}

// digest returns the event's digest in a bank, or nil if it has none.
func (l *Log) digest(r *record, b pcr.Bank) []byte {
	if !l.agile {
		if b == pcr.SHA1 {
			return r.digests
		}
		return nil
	}
	for d := r.digests; len(d) > 2; {
		bank := pcr.Bank(binary.LittleEndian.Uint16(d))
		size := 2 + l.table[l.row(bank)].size
		if bank == b {
			return d[2:size:size]
		}
		d = d[size:]
	}
	return nil
}
