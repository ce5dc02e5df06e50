package imalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

const captures = "../../testdata/captures"

// capture returns a captured list and the offsets at which its entries end.
func capture(t testing.TB, name string) (list []byte, ends []int) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(captures, name, "binary_runtime_measurements"))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(list); {
		_, n, err := ima.ParseEntry(list[at:])
		if err != nil {
			t.Fatal(err)
		}
		at += n
		ends = append(ends, at)
	}
	return list, ends
}

// pcrAfter returns PCR 10 after n entries of the list.
func pcrAfter(t testing.TB, bank pcr.Bank, list []byte, ends []int, n int) []byte {
	t.Helper()
	if n == 0 {
		return make([]byte, bank.Size())
	}
	r, err := ima.Replay(ima.NewState(bank), list[:ends[n-1]])
	if err != nil {
		t.Fatal(err)
	}
	to := r.To()
	return to.PCR()
}

func is(want []byte) func([]byte) bool {
	return func(got []byte) bool { return bytes.Equal(got, want) }
}

// file is a list in a directory of its own.
type file struct {
	t    testing.TB
	path string
}

func newFile(t testing.TB, b []byte) file {
	t.Helper()
	f := file{t, filepath.Join(t.TempDir(), "binary_runtime_measurements")}
	f.write(b)
	return f
}

func (f file) write(b []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path, b, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f file) append(b []byte) {
	f.t.Helper()
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// setCount writes the count as the kernel does: it is never seen half written.
func (f file) setCount(n int) {
	f.t.Helper()
	path := filepath.Join(filepath.Dir(f.path), "runtime_measurements_count")
	text := fmt.Appendf(nil, "%05d\n", n) // always as long: written over in one piece
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = w.Write(text)
		w.Close()
	} else if err = os.WriteFile(path+".new", text, 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// log returns the file's log, of the kernel's kind or not.
func (f file) log(kernel bool) *Log {
	f.t.Helper()
	l := newLog(f.path, kernel)
	f.t.Cleanup(func() { l.Close() })
	return l
}

func read(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Read(); err != nil {
		t.Fatal(err)
	}
}

func rewind(t testing.TB, l *Log, bank pcr.Bank, n uint64) {
	t.Helper()
	if err := l.Rewind(bank, n); err != nil {
		t.Fatal(err)
	}
}

func TestEntriesArriveInPiecesCutAnywhere(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-sig")
	f := newFile(t, nil)
	for cut := 0; cut <= len(list); cut++ {
		f.write(list[:cut])
		l := newLog(f.path, false)
		read(t, l)
		var whole int
		for whole < len(ends) && ends[whole] <= cut {
			whole++
		}
		if got := l.Entries(); got != uint64(whole) {
			t.Fatalf("cut at %d: %d entries, want %d", cut, got, whole)
		}
		if all := l.All(); all.Count != uint64(whole) || whole > 0 && len(all.Bytes) != ends[whole-1] {
			t.Fatalf("cut at %d: all is %d entries in %d bytes", cut, all.Count, len(all.Bytes))
		}
		f.append(list[cut:])
		read(t, l)
		if all := l.All(); all.Count != uint64(len(ends)) || !bytes.Equal(all.Bytes, list) {
			t.Fatalf("cut at %d and read on: all is %d entries in %d bytes", cut, all.Count, len(all.Bytes))
		}
		l.Close()
	}
}

func TestAggregateIsTheAlgorithmOfEntryZero(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	other := ima.NewFileEntry(pcr.SHA384, make([]byte, 48), "/bin/sh").AppendTo(nil)
	for _, c := range []struct {
		name string
		list []byte
		want pcr.Bank
	}{
		{"captured", list, pcr.SHA256},
		{"none", nil, 0},
		{"not an aggregate", list[ends[0]:], 0},
		{"not first", append(bytes.Clone(other), list...), 0},
		{"sha1", ima.NewFileEntry(pcr.SHA1, make([]byte, 20), ima.BootAggregate).AppendTo(nil), pcr.SHA1},
	} {
		l := newFile(t, c.list).log(false)
		read(t, l)
		if got := l.Aggregate(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAKernelWithoutIMAHasAnEmptyList(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		f := file{t, filepath.Join(t.TempDir(), "ima", "binary_runtime_measurements")}
		l := f.log(kernel)
		read(t, l)
		rewind(t, l, pcr.SHA256, 0)
		p, ok := l.Cut(is(make([]byte, 32)))
		if !ok || p.Count != 0 || l.Entries() != 0 {
			t.Errorf("kernel %v: %+v, %v, %d entries", kernel, p, ok, l.Entries())
		}
	}
}

func TestTheCountLeadsAKernelList(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	f := newFile(t, list[:ends[4]])
	l := f.log(true)
	f.setCount(0)
	read(t, l)
	if l.Entries() != 0 {
		t.Fatalf("read %d entries at a count of 0", l.Entries())
	}
	f.setCount(5)
	read(t, l)
	if l.Entries() != 5 {
		t.Fatalf("read %d entries at a count of 5", l.Entries())
	}
	f.append(list[ends[4]:])
	read(t, l)
	if l.Entries() != 5 {
		t.Fatalf("read %d entries although the count still is 5", l.Entries())
	}
	f.setCount(len(ends))
	read(t, l)
	if d := cmp.Diff(list, l.All().Bytes); d != "" {
		t.Fatal(d)
	}
	f.setCount(3)
	if err := l.Read(); !errors.Is(err, ErrReplaced) {
		t.Fatalf("the count went back: %v", err)
	}
}

func TestAReplacedFileIsNoticed(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	for _, c := range []struct {
		name    string
		replace func(f file)
	}{
		{"shrunk", func(f file) { f.write(list[:ends[0]]) }},
		{"removed", func(f file) { os.Remove(f.path) }},
		{"renamed over", func(f file) {
			other := newFile(f.t, list)
			if err := os.Rename(other.path, f.path); err != nil {
				f.t.Fatal(err)
			}
		}},
	} {
		f := newFile(t, list[:ends[9]])
		l := f.log(false)
		read(t, l)
		rewind(t, l, pcr.SHA256, 4)
		c.replace(f)
		if err := l.Read(); !errors.Is(err, ErrReplaced) {
			t.Errorf("%s: %v", c.name, err)
		}
		if l.Entries() != 0 || l.Aggregate() != 0 {
			t.Errorf("%s: %d entries are left of the old list", c.name, l.Entries())
		}
		f.write(list)
		read(t, l)
		if d := cmp.Diff(Prefix{Count: uint64(len(ends)), Bytes: list}, l.All()); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestMalformedBytesEndTheListAndAreShown(t *testing.T) {
	list, ends := capture(t, "direct-6.1-ima-ng")
	bad := append(bytes.Clone(list[:ends[2]]), bytes.Repeat([]byte{0xff}, 40)...)
	f := newFile(t, bad)
	l := f.log(false)
	read(t, l)
	if !errors.Is(l.Malformed(), ima.ErrMalformed) || l.Entries() != 3 {
		t.Fatalf("%d entries, %v", l.Entries(), l.Malformed())
	}
	if d := cmp.Diff(Prefix{Count: 4, Bytes: bad}, l.All()); d != "" {
		t.Fatal(d)
	}
	rewind(t, l, pcr.SHA256, 0)
	if p, ok := l.Cut(is(pcrAfter(t, pcr.SHA256, list, ends, 3))); !ok || p.Count != 3 {
		t.Errorf("the entries before are lost: %d, %v", p.Count, ok)
	}
}

func TestI24_StrangeNamesNeverStopTheAgent(t *testing.T) {
	names := []string{"", "/\xff\xfe", "/a\nb", "/\x1b[2J", "/" + string(bytes.Repeat([]byte{0xc3}, 4095)), "", "\x00\x00"}
	var list []byte
	for _, name := range names {
		list = ima.NewFileEntry(pcr.SHA256, make([]byte, 32), name).AppendTo(list)
	}
	l := newFile(t, list).log(false)
	read(t, l)
	if l.Entries() != uint64(len(names)) || l.Malformed() != nil {
		t.Errorf("read %d of %d entries: %v", l.Entries(), len(names), l.Malformed())
	}
}
