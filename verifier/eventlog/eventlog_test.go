package eventlog_test

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// values makes the PCRs of one bank.
func values(t testing.TB, b pcr.Bank, of map[int][]byte) pcr.Values {
	t.Helper()
	indexes := slices.Sorted(maps.Keys(of))
	var digests [][]byte
	for _, i := range indexes {
		digests = append(digests, of[i])
	}
	v, err := pcr.NewValues(pcr.Selection{{Bank: b, PCRs: pcr.Of(indexes...)}}, digests)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, b []byte) eventlog.Log {
	t.Helper()
	l, err := eventlog.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// event is one event of a log that a test writes.
type event struct {
	pcr  uint32
	kind eventlog.Type
	of   []byte // what is hashed
	data []byte
}

// whole is an event whose data is hashed.
func whole(index uint32, kind eventlog.Type, data string) event {
	return event{index, kind, []byte(data), []byte(data)}
}

// header is the first event of a crypto agile log of the banks.
func header(banks ...pcr.Bank) []byte {
	data := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(banks)))
	for _, b := range banks {
		data = binary.LittleEndian.AppendUint16(data, uint16(b))
		data = binary.LittleEndian.AppendUint16(data, uint16(b.Size()))
	}
	data = append(data, 0)
	b := binary.LittleEndian.AppendUint32(make([]byte, 4), uint32(eventlog.NoAction))
	b = append(b, make([]byte, 20)...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func (e event) appendTo(b []byte, banks ...pcr.Bank) []byte {
	b = binary.LittleEndian.AppendUint32(b, e.pcr)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.kind))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(banks)))
	for _, bank := range banks {
		b = binary.LittleEndian.AppendUint16(b, uint16(bank))
		b = append(b, bank.Sum(e.of)...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.data)))
	return append(b, e.data...)
}

// write makes a log of SHA-256 alone.
func write(events ...event) []byte {
	b := header(pcr.SHA256)
	for _, e := range events {
		b = e.appendTo(b, pcr.SHA256)
	}
	return b
}

// extended is the value of a PCR after the texts were measured.
func extended(start byte, texts ...string) []byte {
	value := make([]byte, 32)
	value[31] = start
	for _, s := range texts {
		value = pcr.SHA256.Extend(value, pcr.SHA256.Sum([]byte(s)))
	}
	return value
}
