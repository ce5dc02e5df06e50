package ima_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
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

// names returns the captures.
func names(t testing.TB) (all []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(captures, "*", "binary_runtime_measurements*"))
	if err != nil || len(found) < 20 {
		t.Fatalf("%d captures, %v", len(found), err)
	}
	for _, f := range found {
		all = append(all, filepath.Base(filepath.Dir(f)))
	}
	return all
}

// padded are the banks that the kernel of a capture extended with padded SHA-1:
// Debian's 6.1 has SHA-384 in a module, which comes too late.
var padded = map[string]pcr.Bank{"direct-6.1-sha384bank": pcr.SHA384, "ovmf-6.1-sha384bank": pcr.SHA384}

// I16: every captured list replays to its own PCR 10 in every bank that was active.
func TestI16_ReplayOfCapturesReachesTheirPCR(t *testing.T) {
	for _, name := range names(t) {
		list := readList(t, name)
		for _, bank := range pcr.Banks {
			want := readPCR10(t, name, bank)
			if want == nil {
				continue
			}
			t.Run(name+"/"+bank.String(), func(t *testing.T) {
				for _, from := range []ima.State{ima.NewState(bank), ima.NewState(bank).Pad()} {
					r, err := ima.Replay(from, list)
					if err != nil {
						t.Fatal(err)
					}
					to := r.To()
					reaches := to.Padded() == (padded[name] == bank) || bank == pcr.SHA1
					if got := to.PCR(); bytes.Equal(got, want) != reaches || to.Entries() < 15 || r.Size() != uint64(len(list)) {
						t.Errorf("padded %v: PCR 10 = %x after %d entries, quoted %x", to.Padded(), got, to.Entries(), want)
					}
				}
			})
		}
	}
}

// visits collects what a visitor is shown.
type visits struct {
	t       testing.TB
	next    uint64
	list    []byte
	entries []ima.Entry
}

func (v *visits) Visit(b ima.Batch) {
	if b.First != v.next || len(b.Entries) == 0 || len(b.Entries) != len(b.Sums) {
		v.t.Errorf("a batch of %d entries and %d sums from %d on, want %d", len(b.Entries), len(b.Sums), b.First, v.next)
	}
	for i, e := range b.Entries {
		if b.Sums[i] != sha256.Sum256(e.AppendHashed(nil)) {
			v.t.Errorf("entry %d: another sum", v.next)
		}
		at := len(v.list)
		v.list = e.AppendTo(v.list)
		e, _, err := ima.ParseEntry(bytes.Clone(v.list[at:]))
		if err != nil {
			v.t.Fatal(err)
		}
		v.entries = append(v.entries, e)
		v.next++
	}
}

// entriesOf returns the entries of a list.
func entriesOf(t testing.TB, list []byte) []ima.Entry {
	t.Helper()
	v := &visits{t: t}
	if _, err := ima.Replay(ima.NewState(pcr.SHA256), list, v); err != nil {
		t.Fatal(err)
	}
	return v.entries
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
	for _, name := range names(t)[1:] {
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
	for _, name := range names(t) {
		list := readList(t, name)
		v := &visits{t: t}
		if _, err := ima.Replay(ima.NewState(pcr.SHA256), list, v); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(v.list, list) {
			t.Errorf("%s: entries encode to other bytes", name)
		}
		for _, e := range v.entries {
			if _, err := e.Event(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !e.Violation() && !bytes.Equal(e.Digest, e.Extends(pcr.SHA1)) {
				t.Errorf("%s: template digest %x, recomputed %x", name, e.Digest, e.Extends(pcr.SHA1))
			}
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

// However a list comes, all of it is shown once and in order, and what was shown
// replays to the same point.
func TestStreamShowsTheList(t *testing.T) {
	list := readList(t, "bench-20k-tpm")
	for _, size := range []int{100, 1200, 100_000, 1 << 20, len(list)} {
		v, again := &visits{t: t}, ima.NewStream(ima.NewState(pcr.SHA256))
		s := ima.NewStream(ima.NewState(pcr.SHA256), v, again)
		for piece := range slices.Chunk(list, size) {
			p := bytes.Clone(piece)
			if _, err := s.Write(p); err != nil {
				t.Fatal(err)
			}
			clear(p)
		}
		r, err := s.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if to := r.To(); !bytes.Equal(v.list, list) || v.next != to.Entries() || to.Entries() != 20014 {
			t.Errorf("in pieces of %d: %d entries in %d bytes, want %d in %d", size, v.next, len(v.list), to.Entries(), len(list))
		}
		if second, err := again.Finish(); err != nil || *second != *r {
			t.Errorf("in pieces of %d: shown again %+v, %v", size, second, err)
		}
	}
}

// A list that was parsed before replays to the same point in every bank.
func TestVisitReplaysWhatWasParsed(t *testing.T) {
	for _, name := range names(t) {
		for _, bank := range pcr.Banks {
			for _, from := range []ima.State{ima.NewState(bank), ima.NewState(bank).Pad()} {
				again := ima.NewStream(from)
				want, err := ima.Replay(from, readList(t, name), again)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := again.Finish(); err != nil || *got != *want {
					t.Errorf("%s, %v: %+v, %v, want %+v", name, bank, got, err, want)
				}
			}
		}
	}
}

func TestNewFileEntryIsWhatTheKernelWrites(t *testing.T) {
	for i, e := range entriesOf(t, readList(t, "reboot-1")) {
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
		"ima":  "\x03\x00\x00\x00ima" + strings.Repeat("d", 20) + "\x00\x01\x00\x00",
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

// What a stream costs does not grow with the list.
func TestStreamAllocatesNothingAnEntry(t *testing.T) {
	list := readList(t, "bench-20k-tpm")
	if n := testing.AllocsPerRun(5, func() {
		if _, err := ima.Replay(ima.NewState(pcr.SHA256), list); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations for a list of 20014 entries, want the stream alone", n)
	}
}

func FuzzList(f *testing.F) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig", "direct-6.1-ima-legacy", "direct-6.1-ima-sigv2-signed"} {
		f.Add(readList(f, name))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		v := &visits{t: t}
		r, err := ima.Replay(ima.NewState(pcr.SHA256), list, v)
		if err != nil {
			return
		}
		if !bytes.Equal(v.list, list) || r.Size() != uint64(len(list)) {
			t.Error("entries encode to other bytes")
		}
		state := ima.NewState(pcr.SHA256)
		for _, e := range v.entries {
			state.Extend(e)
			e.Event()
		}
		if state != r.To() {
			t.Error("entries one by one extend to another value")
		}
	})
}
