package verifiertest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"quicklime/wire/pcr"
)

// LogEvent is an event of a boot log that a test changes.
type LogEvent struct {
	PCR     int
	Type    uint32
	Digests map[pcr.Bank][]byte
	Data    []byte
}

// Measured makes the event one that measures m in all its banks.
func (e *LogEvent) Measured(m []byte) {
	for b := range e.Digests {
		e.Digests[b] = b.Sum(m)
	}
}

// EditLog has edit change the events of a crypto agile log, which must be sound, and
// returns the log of those that it returns.
func EditLog(log []byte, edit func([]LogEvent) []LogEvent) []byte {
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(log[at:])) }
	header := 32 + u32(28)
	var all []LogEvent
	for at := header; at < len(log); {
		e := LogEvent{PCR: u32(at), Type: uint32(u32(at + 4)), Digests: map[pcr.Bank][]byte{}}
		n := u32(at + 8)
		at += 12
		for range n {
			b := pcr.Bank(binary.LittleEndian.Uint16(log[at:]))
			e.Digests[b] = bytes.Clone(log[at+2 : at+2+b.Size()])
			at += 2 + b.Size()
		}
		e.Data = bytes.Clone(log[at+4 : at+4+u32(at)])
		at += 4 + len(e.Data)
		all = append(all, e)
	}
	out := bytes.Clone(log[:header])
	for _, e := range edit(all) {
		out = binary.LittleEndian.AppendUint32(out, uint32(e.PCR))
		out = binary.LittleEndian.AppendUint32(out, e.Type)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(e.Digests)))
		for _, b := range slices.Sorted(maps.Keys(e.Digests)) {
			out = binary.LittleEndian.AppendUint16(out, uint16(b))
			out = append(out, e.Digests[b]...)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(len(e.Data)))
		out = append(out, e.Data...)
	}
	return out
}

// WithCommandLine is a log of GRUB whose kernel was given another command line.
func WithCommandLine(log []byte, line string) []byte {
	return EditLog(log, func(all []LogEvent) []LogEvent {
		for i := range all {
			if e := &all[i]; e.PCR == 8 && bytes.HasPrefix(e.Data, []byte("kernel_cmdline: ")) {
				e.Measured([]byte(line))
				e.Data = []byte("kernel_cmdline: " + line + "\x00")
			}
		}
		return all
	})
}

// LedTo are the PCRs 0 to 23 that a log leads to, in the banks of its digests, from
// zeros, or 0xFF in 17 to 22.
func LedTo(log []byte, banks ...pcr.Bank) pcr.Values {
	var s pcr.Selection
	var digests [][]byte
	EditLog(log, func(all []LogEvent) []LogEvent {
		for _, b := range banks {
			s = append(s, pcr.BankSet{Bank: b, PCRs: pcr.Range(0, pcr.Count-1)})
			values := make([][]byte, pcr.Count)
			for i := range values {
				values[i] = make([]byte, b.Size())
				if i >= 17 && i <= 22 {
					values[i] = bytes.Repeat([]byte{0xff}, b.Size())
				}
			}
			for _, e := range all {
				if e.Type != noAction {
					values[e.PCR] = b.Extend(values[e.PCR], e.Digests[b])
				}
			}
			digests = append(digests, values...)
		}
		return all
	})
	v, err := pcr.NewValues(s, digests)
	if err != nil {
		panic(err) // they are made here
	}
	return v
}

// noAction is EV_NO_ACTION, which extends nothing.
const noAction = 3
