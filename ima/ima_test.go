package ima_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

const captures = "../testdata/captures"

// readList returns a captured binary list, unpacked if it is packed.
func readList(t testing.TB, name string) []byte {
	t.Helper()
	dir := filepath.Join(captures, name)
	b, err := os.ReadFile(filepath.Join(dir, "binary_runtime_measurements"))
	if err == nil {
		return b
	}
	f, err := os.Open(filepath.Join(dir, "binary_runtime_measurements.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return b
}

// readPCR10 returns PCR 10 of a bank from a capture's pcrs.txt, or nil if the
// bank was not active.
func readPCR10(t testing.TB, name string, bank pcr.Bank) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(captures, name, "pcrs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var in bool
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if strings.HasPrefix(value, "#") || value == "" {
			in = strings.TrimSpace(key) == bank.String()
			continue
		}
		if in && strings.TrimSpace(key) == "10" {
			v, err := hex.DecodeString(strings.TrimPrefix(value, "0x"))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return nil
}

var lists = []struct {
	name    string
	entries uint64
	banks   []pcr.Bank
}{
	{"bench-20k-tpm", 20014, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"direct-6.1-ima-ng", 19, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"direct-6.1-ima-sig", 19, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"direct-6.1-sha256only", 15, []pcr.Bank{pcr.SHA256}},
	{"ovmf-6.1-ima-ng", 19, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"ovmf-secureboot-6.1", 19, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"reboot-1", 15, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
	{"reboot-2", 15, []pcr.Bank{pcr.SHA1, pcr.SHA256}},
}

func TestI16_ReplayOfCapturesReachesTheirPCR(t *testing.T) {
	for _, l := range lists {
		list := readList(t, l.name)
		for _, bank := range l.banks {
			t.Run(l.name+"/"+bank.String(), func(t *testing.T) {
				want := readPCR10(t, l.name, bank)
				r, err := ima.Replay(ima.NewState(bank), list)
				if err != nil {
					t.Fatal(err)
				}
				to := r.To()
				if got := to.PCR(); want == nil || !bytes.Equal(got, want) || to.Entries() != l.entries {
					t.Errorf("PCR 10 = %x after %d entries, want %x after %d", got, to.Entries(), want, l.entries)
				}
			})
		}
	}
}

func TestResumeAtEveryEntryReachesTheSamePCR(t *testing.T) {
	list := readList(t, "direct-6.1-ima-ng")
	want := readPCR10(t, "direct-6.1-ima-ng", pcr.SHA256)
	for cut := 0; cut <= len(list); {
		head, err := ima.Replay(ima.NewState(pcr.SHA256), list[:cut])
		if err != nil {
			t.Fatal(err)
		}
		at := head.To()
		resumed, err := ima.ResumeState(pcr.SHA256, at.Entries(), at.PCR())
		if err != nil {
			t.Fatal(err)
		}
		tail, err := ima.Replay(resumed, list[cut:])
		if err != nil {
			t.Fatal(err)
		}
		if to := tail.To(); !bytes.Equal(to.PCR(), want) || to.Entries() != 19 {
			t.Fatalf("resumed after %d entries: PCR 10 = %x", at.Entries(), to.PCR())
		}
		if cut == len(list) {
			break
		}
		_, n, err := ima.ParseEntry(list[cut:])
		if err != nil {
			t.Fatal(err)
		}
		cut += n
	}
}

func TestI04_EveryCutInsideAnEntryIsShort(t *testing.T) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig"} {
		list := readList(t, name)
		ends := map[int]bool{0: true}
		for at := 0; at < len(list); {
			_, n, err := ima.ParseEntry(list[at:])
			if err != nil {
				t.Fatal(err)
			}
			at += n
			ends[at] = true
		}
		for cut := range len(list) {
			_, err := ima.Replay(ima.NewState(pcr.SHA256), list[:cut])
			if ends[cut] != (err == nil) || err != nil && !errors.Is(err, ima.ErrShort) {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
		}
	}
}

func TestEntriesEncodeToTheirOwnBytes(t *testing.T) {
	for _, l := range lists {
		list := readList(t, l.name)
		r, err := ima.Replay(ima.NewState(pcr.SHA256), list)
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		for _, e := range r.All() {
			again = e.AppendTo(again)
			if _, err := e.Event(); err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			if !e.Violation() && !bytes.Equal(e.Digest, e.Extends(pcr.SHA1)) {
				t.Errorf("%s: template digest %x, recomputed %x", l.name, e.Digest, e.Extends(pcr.SHA1))
			}
		}
		if !bytes.Equal(again, list) {
			t.Errorf("%s: entries encode to other bytes", l.name)
		}
		var raw []byte
		for _, b := range r.Raw() {
			raw = append(raw, b...)
		}
		if !bytes.Equal(raw, list) {
			t.Errorf("%s: the entries' bytes are not the list's", l.name)
		}
	}
}

// A list that arrives in pieces of any size replays as in one.
func TestStreamInPieces(t *testing.T) {
	list := readList(t, "reboot-1")
	want := readPCR10(t, "reboot-1", pcr.SHA256)
	for size := 1; size < 300; size += 7 {
		s := ima.NewStream(ima.NewState(pcr.SHA256))
		for at := 0; at < len(list); at += size {
			if _, err := s.Write(list[at:min(at+size, len(list))]); err != nil {
				t.Fatal(err)
			}
		}
		r, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if to := r.To(); !bytes.Equal(to.PCR(), want) {
			t.Fatalf("in pieces of %d: PCR 10 = %x", size, to.PCR())
		}
	}
}

// However a list comes, it is kept as it came.
func TestStreamKeepsTheList(t *testing.T) {
	list := readList(t, "bench-20k-tpm")
	for _, size := range []int{100, 1200, 100_000, 1 << 20, len(list)} {
		s := ima.NewStream(ima.NewState(pcr.SHA256))
		for piece := range slices.Chunk(list, size) {
			if _, err := s.Write(bytes.Clone(piece)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		next := uint64(0)
		for i, b := range r.Raw() {
			if i != next {
				t.Fatalf("in pieces of %d: entry %d comes after %d", size, i, next-1)
			}
			got, next = append(got, b...), i+1
		}
		if to := r.To(); !bytes.Equal(got, list) || next != to.Entries() {
			t.Errorf("in pieces of %d: %d entries in %d bytes, want %d in %d", size, next, len(got), to.Entries(), len(list))
		}
	}
}

func TestNewFileEntryIsWhatTheKernelWrites(t *testing.T) {
	list := readList(t, "reboot-1")
	r, err := ima.Replay(ima.NewState(pcr.SHA256), list)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range r.All() {
		ev, err := e.Event()
		if err != nil {
			t.Fatal(err)
		}
		made := ima.NewFileEntry(ev.Algorithm, ev.Digest, string(ev.Name))
		if !bytes.Equal(made.AppendTo(nil), e.AppendTo(nil)) {
			t.Errorf("entry %d (%s) differs", i, ev.Name)
		}
	}
}

func TestI04_LengthsAreBoundedBeforeTheyAreBelieved(t *testing.T) {
	head := make([]byte, 24) // pcr, digest
	for name, b := range map[string]string{
		"name": "\x00\x01\x00\x00",
		"data": "\x06\x00\x00\x00ima-ng\x01\x00\x01\x00",
		"ima":  "\x03\x00\x00\x00ima\x00\x00\x00\x00",
	} {
		if _, _, err := ima.ParseEntry(append(head, b...)); !errors.Is(err, ima.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplayAllocatesNothingAnEntry(t *testing.T) {
	list := readList(t, "bench-20k-tpm")
	state := ima.NewState(pcr.SHA256)
	if n := testing.AllocsPerRun(5, func() {
		s := state
		for b := list; len(b) > 0; {
			e, n, err := ima.ParseEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			s.Extend(e)
			if _, err := e.Event(); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
	}); n > 0 {
		t.Errorf("%v allocations for a list of 20014 entries, want none", n)
	}
}

func FuzzList(f *testing.F) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig"} {
		f.Add(readList(f, name))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		r, err := ima.Replay(ima.NewState(pcr.SHA256), list)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range r.All() {
			again = e.AppendTo(again)
			e.Event()
		}
		if !bytes.Equal(again, list) {
			t.Error("entries encode to other bytes")
		}
	})
}
