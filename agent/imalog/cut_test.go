package imalog

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

func TestCutMeetsThePCRFromEveryPointInEveryBank(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	for _, bank := range pcr.Banks {
		for from := range len(ends) + 1 {
			l := newFile(t, list).log(false)
			rewind(t, l, bank, uint64(from))
			for to := from; to <= len(ends); to++ {
				p, ok := l.Cut(is(pcrAfter(t, bank, list, ends, to)))
				if !ok || p.First != uint64(from) || p.Count != uint64(to-from) || !bytes.Equal(p.Bytes, list[end(ends, from):end(ends, to)]) {
					t.Fatalf("bank %v, %d to %d: cut %d entries from %d (%v)", bank, from, to, p.Count, p.First, ok)
				}
			}
			if from > 0 {
				if p, ok := l.Cut(is(pcrAfter(t, bank, list, ends, from-1))); ok {
					t.Fatalf("bank %v: cut from %d back to %d", bank, from, p.First+p.Count)
				}
			}
			l.Close()
		}
	}
}

// end is where entry n begins.
func end(ends []int, n int) int {
	if n == 0 {
		return 0
	}
	return ends[n-1]
}

func TestCutTakesEntriesThatExtendAnotherPCR(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	foreign := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/elsewhere")
	foreign.PCR = 11
	split := ends[6]
	mixed := bytes.Clone(list[:split])
	mixed = foreign.AppendTo(foreign.AppendTo(mixed))
	size := len(mixed)
	mixed = append(mixed, list[split:]...)
	l := newFile(t, mixed).log(false)
	rewind(t, l, pcr.SHA256, 0)
	p, ok := l.Cut(is(pcrAfter(t, pcr.SHA256, list, ends, 7)))
	if !ok || p.Count != 9 || len(p.Bytes) != size {
		t.Errorf("cut %d entries in %d bytes (%v), want 9 in %d", p.Count, len(p.Bytes), ok, size)
	}
}

func TestRewindGoesBothWays(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	for _, kernel := range []bool{false, true} {
		f := newFile(t, list)
		f.setCount(len(ends))
		l := f.log(kernel)
		for _, c := range []struct {
			bank pcr.Bank
			n    int
		}{
			{pcr.SHA256, 3}, {pcr.SHA256, 3}, {pcr.SHA256, len(ends)}, {pcr.SHA256, 7}, {pcr.SHA1, 7},
			{pcr.SHA1, 0}, {pcr.SHA384, 0}, {pcr.SHA384, 12}, {pcr.SHA256, 2},
		} {
			rewind(t, l, c.bank, uint64(c.n))
			p, ok := l.Cut(is(pcrAfter(t, c.bank, list, ends, len(ends))))
			want := Prefix{First: uint64(c.n), Count: uint64(len(ends) - c.n), Bytes: list[end(ends, c.n):]}
			if d := cmp.Diff(want, p, cmpopts.EquateEmpty()); !ok || d != "" {
				t.Fatalf("kernel %v, to %d in %v: %v %s", kernel, c.n, c.bank, ok, d)
			}
		}
	}
}

func TestRewindBeyondTheListChangesNothing(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	l := newFile(t, list).log(false)
	rewind(t, l, pcr.SHA256, 5)
	if err := l.Rewind(pcr.SHA256, uint64(len(ends)+1)); !errors.Is(err, ErrBeyond) {
		t.Fatalf("rewind beyond the list: %v", err)
	}
	if p := l.All(); p.First != 5 || p.Count != uint64(len(ends)-5) {
		t.Errorf("now %d entries from %d", p.Count, p.First)
	}
	if err := l.Rewind(0, 0); err == nil {
		t.Error("a replay in no bank")
	}
}

func TestTheFirstRewindDoesNotReadAgain(t *testing.T) {
	list, _ := capture(t, "direct-6.1-ima-ng")
	l := newFile(t, list).log(false)
	read(t, l)
	before := l.file
	rewind(t, l, pcr.SHA256, 3)
	if l.file != before {
		t.Error("the list was opened again, which costs a kernel much")
	}
}

func TestRewindReadsWhatWasAppended(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	f := newFile(t, list[:ends[3]])
	l := f.log(false)
	read(t, l)
	f.append(list[ends[3]:])
	rewind(t, l, pcr.SHA256, 10)
	if p := l.All(); p.First != 10 || p.Count != uint64(len(ends)-10) {
		t.Errorf("now %d entries from %d", p.Count, p.First)
	}
}

func TestMemoryIsBoundedByWhatIsUnacknowledged(t *testing.T) {
	entry := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/"+string(bytes.Repeat([]byte{'x'}, 60<<10))).AppendTo(nil)
	n := MaxUnacknowledged/len(entry) + 20
	f := newFile(t, nil)
	w, err := os.Create(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range n {
		if _, err := w.Write(entry); err != nil {
			t.Fatal(err)
		}
	}
	l := f.log(false)
	read(t, l)
	if !l.Full() || l.Entries() == uint64(n) || len(l.pending) > MaxUnacknowledged+chunk {
		t.Fatalf("%d of %d entries in %d bytes are kept", l.Entries(), n, len(l.pending))
	}
	rewind(t, l, pcr.SHA256, uint64(n-1))
	if l.Full() || l.Unacknowledged() != 1 || l.Entries() != uint64(n) {
		t.Errorf("%d of %d entries are unacknowledged", l.Unacknowledged(), l.Entries())
	}
	if cap(l.pending) > 4*chunk {
		t.Errorf("%d bytes are held for one entry", cap(l.pending))
	}
}

// FuzzLog checks that bytes in two pieces read as they do in one, and that what
// is whole reads as package ima says. How much of malformed bytes is shown is
// left to chance.
func FuzzLog(f *testing.F) {
	list, ends := capture(f, "direct-6.1-ima-sig")
	f.Add(list, 100)
	f.Add(list[:ends[1]+7], ends[1])
	f.Add(append(bytes.Clone(list[:ends[0]]), bytes.Repeat([]byte{0xff}, 99)...), ends[0]+1)
	f.Add(bytes.Repeat([]byte{'0'}, 200), 190)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		one := newFile(t, b).log(false)
		rewind(t, one, pcr.SHA256, 0)
		parts := newFile(t, b[:cut])
		two := parts.log(false)
		rewind(t, two, pcr.SHA256, 0)
		parts.append(b[cut:])
		read(t, two)
		for _, l := range []*Log{one, two} {
			if !bytes.HasPrefix(b, l.All().Bytes) || l.All().Count < l.Entries() {
				t.Fatalf("all is %d entries in %d bytes", l.All().Count, len(l.All().Bytes))
			}
		}
		if one.Entries() != two.Entries() || one.whole != two.whole || (one.Malformed() == nil) != (two.Malformed() == nil) {
			t.Fatalf("one: %d entries, %v; two: %d, %v", one.Entries(), one.Malformed(), two.Entries(), two.Malformed())
		}
		stream := ima.NewStream(ima.NewState(pcr.SHA256))
		_, err := stream.Write(b)
		if _, finish := stream.Finish(); err == nil && !errors.Is(finish, ima.ErrShort) {
			err = finish
		}
		if errors.Is(err, ima.ErrOtherPCR) {
			return // well formed; what to think of it is the verifier's to say
		}
		if (err != nil) != (one.Malformed() != nil) {
			t.Fatalf("%v, but ima says %v", one.Malformed(), err)
		}
	})
}
