package emulator

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"quicklime/wire/pcr"
)

var bothBanks = []pcr.Bank{pcr.SHA1, pcr.SHA256}

func bootLog(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBootLogCuts cuts a log at every byte: what remains is refused, or is whole
// events.
func TestBootLogCuts(t *testing.T) {
	log := bootLog(t)
	all, err := parseBootLog(log, bothBanks)
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for n := range log {
		got, err := parseBootLog(log[:n], bothBanks)
		if err != nil {
			continue
		}
		whole++
		if diff := cmp.Diff(all[:len(got)], got, cmp.AllowUnexported(event{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("cut at %d:\n%s", n, diff)
		}
	}
	if whole == 0 || whole > len(all)+2 { // and the header, and what extends nothing
		t.Errorf("%d cuts of a log with %d events were taken for logs", whole, len(all))
	}
}

// appendEvent appends an event in the crypto agile format (TCG PC Client PFP
// 1.06, section 10.2.2).
func appendEvent(b []byte, index, kind uint32, digests map[pcr.Bank][]byte, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, index)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(digests)))
	for _, bank := range pcr.Banks {
		if digest, ok := digests[bank]; ok {
			b = binary.LittleEndian.AppendUint16(b, uint16(bank))
			b = append(b, digest...)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func TestBootLogEvents(t *testing.T) {
	log := bootLog(t)
	all, err := parseBootLog(log, bothBanks)
	if err != nil {
		t.Fatal(err)
	}
	both := map[pcr.Bank][]byte{pcr.SHA1: bytes.Repeat([]byte{1}, 20), pcr.SHA256: bytes.Repeat([]byte{2}, 32)}
	for name, tt := range map[string]struct {
		added []byte
		more  int // events; -1: refused
	}{
		"an event":               {appendEvent(nil, 23, 13, both, []byte("x")), 1},
		"no action":              {appendEvent(nil, 0, 3, both, []byte("x")), 0},
		"no action, no such PCR": {appendEvent(nil, 0xffffffff, 3, both, []byte("x")), 0},
		"locality 0":             {appendEvent(nil, 0, 3, both, []byte("StartupLocality\x00\x00")), 0},
		"locality 3":             {appendEvent(nil, 0, 3, both, []byte("StartupLocality\x00\x03")), -1},
		"no such PCR":            {appendEvent(nil, 24, 13, both, nil), -1},
		"one bank missing":       {appendEvent(nil, 1, 13, map[pcr.Bank][]byte{pcr.SHA1: both[pcr.SHA1]}, nil), -1},
	} {
		got, err := parseBootLog(append(bytes.Clone(log), tt.added...), bothBanks)
		switch {
		case tt.more < 0 && err == nil:
			t.Errorf("%s: not refused", name)
		case tt.more >= 0 && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.more >= 0:
			if diff := cmp.Diff(len(all)+tt.more, len(got)); diff != "" {
				t.Errorf("%s: events (-want +got):\n%s", name, diff)
			}
			if tt.more == 1 {
				if diff := cmp.Diff(event{23, both}, got[len(all)], cmp.AllowUnexported(event{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
	}
}

func FuzzBootLog(f *testing.F) {
	f.Add(bootLog(f)[:400])
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := parseBootLog(b, bothBanks)
		if err != nil {
			return
		}
		for i, e := range events {
			if !pcr.Of(e.index).Has(e.index) || len(e.digests[pcr.SHA1]) != 20 || len(e.digests[pcr.SHA256]) != 32 {
				t.Errorf("event %d: %+v", i, e)
			}
		}
	})
}

// notification is an event as inotify writes it.
func notification(mask uint32, name string) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 1)
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	padded := make([]byte, (len(name)+16)/16*16)
	copy(padded, name)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(padded)))
	return append(b, padded...)
}

func TestParseNotify(t *testing.T) {
	events := append(notification(unix.IN_CLOSE_WRITE, "a file"), notification(unix.IN_MOVED_TO, "sixteen  letters")...)
	names, err := parseNotify(events)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a file", "sixteen  letters"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for n := 1; n < len(events); n++ {
		if names, err := parseNotify(events[:n]); err == nil && n != 32 {
			t.Errorf("cut at %d: %q", n, names)
		}
	}
	for _, mask := range []uint32{unix.IN_Q_OVERFLOW, unix.IN_IGNORED} {
		if names, err := parseNotify(notification(mask, "")); err == nil {
			t.Errorf("mask 0x%x: %q", mask, names)
		}
	}
}

func FuzzParseNotify(f *testing.F) {
	f.Add(notification(unix.IN_CLOSE_WRITE, "a file"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if names, err := parseNotify(b); err == nil && len(names) > len(b)/unix.SizeofInotifyEvent {
			t.Errorf("%d names in %d bytes", len(names), len(b))
		}
	})
}
