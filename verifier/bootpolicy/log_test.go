package bootpolicy_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/systemdlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

const secureBoot = "ovmf-secureboot-6.1"

func parseLog(t testing.TB, b []byte) eventlog.Log {
	t.Helper()
	l, err := eventlog.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// captured is a capture's log and systemd's behind it, replayed to its own quote.
func captured(t testing.TB, name string) eventlog.Replayed {
	t.Helper()
	return parseLog(t, verifiertest.BootLog(t, name)).With(systemdLog(t, verifiertest.SystemdLog(t, name))).Replay(verifiertest.Quoted(t, verifiertest.PCRs(t, name)))
}

func systemdLog(t testing.TB, b []byte) systemdlog.Log {
	t.Helper()
	l, err := systemdlog.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// event is one event of a log that a test changes.
type event struct {
	pcr    int
	kind   eventlog.Type
	digest []byte // SHA-256
	data   []byte
}

// events returns the events of a log, of which SHA-256 alone is kept.
func events(t testing.TB, log []byte) (all []event) {
	t.Helper()
	at := 28
	size := func() int { return int(binary.LittleEndian.Uint32(log[at:])) }
	at += 4 + int(binary.LittleEndian.Uint32(log[28:]))
	for at < len(log) {
		e := event{pcr: size(), kind: eventlog.Type(binary.LittleEndian.Uint32(log[at+4:]))}
		at += 8
		n := size()
		at += 4
		for range n {
			bank := pcr.Bank(binary.LittleEndian.Uint16(log[at:]))
			if bank == pcr.SHA256 {
				e.digest = log[at+2 : at+34]
			}
			at += 2 + bank.Size()
		}
		e.data = log[at+4 : at+4+size()]
		at += 4 + len(e.data)
		all = append(all, e)
	}
	return all
}

// write makes a log of SHA-256 alone.
func write(events []event) []byte {
	data := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 11, 0, 32, 0, 0)
	b := binary.LittleEndian.AppendUint32(make([]byte, 4), uint32(eventlog.NoAction))
	b = append(b, make([]byte, 20)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	for _, e := range events {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.pcr))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.kind))
		b = append(b, 1, 0, 0, 0, 11, 0)
		b = append(b, e.digest...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.data)))
		b = append(b, e.data...)
	}
	return b
}

// booted is the log of a machine that was booted so: its PCRs are what the events
// lead to, or what set says.
func booted(t testing.TB, events []event, set map[int][]byte) eventlog.Replayed {
	t.Helper()
	return parseLog(t, write(events)).Replay(verifiertest.Quoted(t, led(t, events, set)))
}

// led are the PCRs 0 to 15 that events lead to, in SHA-256.
func led(t testing.TB, events []event, set map[int][]byte) pcr.Values {
	t.Helper()
	values := make([][]byte, 16)
	for i := range values {
		values[i] = make([]byte, 32)
	}
	for _, e := range events {
		if e.kind != eventlog.NoAction {
			values[e.pcr] = pcr.SHA256.Extend(values[e.pcr], e.digest)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(set)) {
		values[i] = set[i]
	}
	v, err := pcr.NewValues(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 15)}}, values)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// measured is an event whose data is measured.
func measured(i int, kind eventlog.Type, data string) event {
	return event{i, kind, pcr.SHA256.Sum([]byte(data)), []byte(data)}
}

// line is an event of GRUB.
func line(role, text string) event {
	return event{8, eventlog.IPL, pcr.SHA256.Sum([]byte(text)), []byte(role + ": " + text + "\x00")}
}

// index is the place of the first event whose data contains the text, letters as
// ASCII or as UTF-16.
func index(t testing.TB, events []event, i int, text string) int {
	t.Helper()
	wide := []byte(strings.Join(strings.Split(text, ""), "\x00"))
	at := slices.IndexFunc(events, func(e event) bool {
		return e.pcr == i && (bytes.Contains(e.data, []byte(text)) || bytes.Contains(e.data, wide))
	})
	if at < 0 {
		t.Fatalf("PCR %d has no event of %q", i, text)
	}
	return at
}

// created is the reference state of logs.
func created(t testing.TB, logs ...bootpolicy.Log) *bootpolicy.Policy {
	t.Helper()
	b, err := bootpolicy.Create(nil, logs...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(b))
}

func parse(t testing.TB, text string) *bootpolicy.Policy {
	t.Helper()
	p, err := bootpolicy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}
