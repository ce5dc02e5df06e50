package ima_test

import (
	"bytes"
	"errors"
	"testing"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// FuzzStream has a list arrive in pieces of one size: what comes of it must be
// what comes of the whole.
func FuzzStream(f *testing.F) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig"} {
		for _, size := range []uint16{1, 7, 100, 1200} {
			f.Add(readList(f, name), size)
		}
	}
	f.Fuzz(func(t *testing.T, list []byte, size uint16) {
		all := &visits{t: t}
		whole, want := ima.Replay(ima.NewState(pcr.SHA256), list, all)
		pieces := &visits{t: t}
		streamed, err := inPieces(list, int(size)+1, pieces)
		if !errors.Is(err, want) && (err == nil || want == nil || err.Error() != want.Error()) {
			t.Fatalf("in pieces %v, whole %v", err, want)
		}
		if whole != nil && *streamed != *whole || !bytes.Equal(pieces.list, all.list) {
			t.Errorf("in pieces %d bytes to %+v, whole %d to %+v", len(pieces.list), streamed, len(all.list), whole)
		}
	})
}

func inPieces(list []byte, size int, v ima.Visitor) (*ima.Replayed, error) {
	s := ima.NewStream(ima.NewState(pcr.SHA256), v)
	for len(list) > 0 {
		n := min(size, len(list))
		if _, err := s.Write(list[:n]); err != nil {
			return nil, err
		}
		list = list[n:]
	}
	return s.Finish()
}

// alike keeps what the last batch is said to be.
type alike bool

func (a *alike) Visit(b ima.Batch) { *a = alike(b.Alike) }

// I16, I17: what is said to be alike is judged by its first entry alone.
func TestI16_I17_ABatchIsAlikeWithoutExceptions(t *testing.T) {
	ng := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")
	sig, other, violation := ng, ng, ng
	other.Template = []byte("ima-n_")
	sig.Template, violation.Digest = []byte("ima-sig"), make([]byte, len(ng.Digest))
	for _, c := range []struct {
		list []ima.Entry
		want alike
	}{
		{[]ima.Entry{ng}, true}, {[]ima.Entry{ng, ng, ng}, true}, {[]ima.Entry{sig, sig}, true},
		{[]ima.Entry{sig, ng, ng}, false}, {[]ima.Entry{ng, sig, ng}, false}, {[]ima.Entry{ng, ng, sig}, false},
		{[]ima.Entry{ng, other}, false}, {[]ima.Entry{other, other}, true},
		{[]ima.Entry{violation}, false}, {[]ima.Entry{violation, ng}, false}, {[]ima.Entry{ng, violation, ng}, false}, {[]ima.Entry{ng, violation}, false},
	} {
		var list []byte
		for _, e := range c.list {
			list = e.AppendTo(list)
		}
		var got alike
		if _, err := ima.Replay(ima.NewState(pcr.SHA256), list, &got); err != nil || got != c.want {
			t.Errorf("%v, %v; want %v of %d entries, the first of %s", got, err, c.want, len(c.list), c.list[0].Template)
		}
	}
}

// I16, I17: an entry is what it is, whatever came before it.
func TestI04_I16_I17_AnEntryLikeTheOneBeforeIsParsedAsAnyOther(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")
	legacy := append(append([]byte{21, 0, 0, 0}, make([]byte, 16)...), 1, 0, 0, 0, 'a') // 21: as if it had the length of another template
	var lists [][]byte
	for _, template := range []string{"ima-ng", "ima", ""} {
		e.Template = []byte(template)
		if e.Legacy() {
			e.Data = legacy
		}
		two := e.AppendTo(e.AppendTo(nil))
		for at := len(two) / 2; at < len(two); at++ {
			lists = append(lists, two[:at:at])
			for _, v := range []byte{0, 1, 3, 11, two[at] ^ 1, two[at] ^ 0x80, 0xff} {
				changed := bytes.Clone(two)
				changed[at] = v
				lists = append(lists, changed)
			}
		}
		violation := e
		violation.Digest = make([]byte, len(e.Digest))
		lists = append(lists, violation.AppendTo(e.AppendTo(nil)), e.AppendTo(violation.AppendTo(nil)))
		if !e.Legacy() {
			large, tooLarge := e, e
			large.Data, tooLarge.Data = make([]byte, ima.MaxTemplateData), make([]byte, ima.MaxTemplateData+1)
			lists = append(lists, large.AppendTo(e.AppendTo(nil)), tooLarge.AppendTo(e.AppendTo(nil)))
		}
	}
	for _, list := range lists {
		want, wantErr := alone(list)
		got, err := ima.Replay(ima.NewState(pcr.SHA256), list)
		if (err == nil) != (wantErr == nil) || err == nil && got.To() != want {
			t.Errorf("%.100x: %+v, %v; one by one %+v, %v", list, got, err, want, wantErr)
		}
	}
}

// I17: the name of a template is compared whole, whatever its length.
func TestI17_AnEntryIsShownWithItsOwnTemplate(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")
	for n := 1; n <= 12; n++ {
		name := []byte("abcdefghijkl")[:n]
		for at := range name {
			other := bytes.Clone(name)
			other[at]++
			var list []byte
			for _, e.Template = range [][]byte{name, other, name} {
				list = e.AppendTo(list)
			}
			shown := &visits{t: t}
			if _, err := ima.Replay(ima.NewState(pcr.SHA256), list, shown); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(shown.list, list) {
				t.Errorf("%s and %s are shown as %x, want %x", name, other, shown.list, list)
			}
		}
	}
}

// alone replays the entries of a list one by one.
func alone(list []byte) (ima.State, error) {
	s := ima.NewState(pcr.SHA256)
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			return s, err
		}
		if e.PCR != pcr.IMA {
			return s, ima.ErrOtherPCR
		}
		s.Extend(e)
		list = list[n:]
	}
	return s, nil
}
