package ima_test

import (
	"bytes"
	"errors"
	"testing"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// I16: a violation extends ones, in every bank; a digest column that only begins
// with zeros makes none.
func TestI16_ViolationExtendsOnes(t *testing.T) {
	for _, bank := range pcr.Banks {
		e := ima.NewFileEntry(bank, make([]byte, bank.Size()), "/bin/a")
		for digest, want := range map[string][]byte{
			string(make([]byte, 20)):                    bytes.Repeat([]byte{0xff}, bank.Size()),
			string(append(make([]byte, 19), 1)):         bank.Sum(e.Data),
			string(bytes.Repeat([]byte{0xff}, 20)):      bank.Sum(e.Data),
			string(append([]byte{1}, e.Digest...)[:20]): bank.Sum(e.Data),
		} {
			e.Digest = []byte(digest)
			s := ima.NewState(bank)
			s.Extend(e)
			if got := s.PCR(); !bytes.Equal(got, bank.Extend(make([]byte, bank.Size()), want)) || !bytes.Equal(e.Extends(bank), want) {
				t.Errorf("%v, digest column %x: PCR 10 is %x", bank, digest, got)
			}
		}
	}
}

// I17: an entry for another PCR counts, and does not move this one.
func TestI17_AnotherPCRExtendsNothing(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")
	e.PCR = 11
	s := ima.NewState(pcr.SHA256)
	s.Extend(e)
	if !s.AtReset() || s.Entries() != 1 {
		t.Errorf("PCR 10 is %x after %d entries", s.PCR(), s.Entries())
	}
}

// I16: a name with a NUL would hash as the shorter one does.
func TestI16_ALegacyNameHasNoNUL(t *testing.T) {
	for name, malformed := range map[string]bool{"/bin/a": false, "/bin/a\x00": true, "\x00": true, "": false} {
		data := append(make([]byte, 20), byte(len(name)), 0, 0, 0)
		e := ima.Entry{PCR: 10, Digest: make([]byte, 20), Template: []byte("ima"), Data: append(data, name...)}
		if _, _, err := ima.ParseEntry(e.AppendTo(nil)); errors.Is(err, ima.ErrMalformed) != malformed {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// I17: what is of the legacy template is read as nothing else, nor the other way.
func TestI17_LegacyTemplateIsReadAlone(t *testing.T) {
	for _, e := range entriesOf(t, readList(t, "direct-6.1-ima-legacy")) {
		if ev, err := e.Event(); err != nil || len(ev.Digest) != 20 || ev.Algorithm != pcr.SHA1 {
			t.Errorf("%+v, %v", ev, err)
		}
		e.Template = []byte("ima-ng")
		if ev, err := e.Event(); err == nil {
			t.Errorf("legacy data reads as ima-ng: %+v", ev)
		}
	}
	ng, _ := ima.FormatOf([]byte("ima-ng"))
	legacy, _ := ima.FormatOf([]byte("ima"))
	e := entriesOf(t, readList(t, "direct-6.1-ima-legacy"))[1]
	if _, err := ng.Event(e); !errors.Is(err, ima.ErrMalformed) {
		t.Errorf("as ima-ng: %v", err)
	}
	if _, err := legacy.Event(ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")); !errors.Is(err, ima.ErrMalformed) {
		t.Errorf("as legacy: %v", err)
	}
}

// I17: a file that was given its contents as its signature is not hidden by it.
func TestI17_AFileThatLooksLikeABufferIsStillAFile(t *testing.T) {
	for _, c := range []struct {
		name, contents string
		file           bool
	}{{"/bin/evil", "#!/bin/sh", true}, {".ima", "\x03\x02evil", true}, {".ima", "\x06evil", true}, {".ima", "0\x82key", false}, {"kexec-cmdline", "root=/dev/sda", false}} {
		e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(c.contents)), c.name)
		e.Template = []byte("ima-sig")
		e.Data = append(e.Data, field([]byte(c.contents))...)
		ev, err := e.Event()
		if err != nil || string(ev.Buffer) != c.contents || ev.IsFile() != c.file {
			t.Errorf("%q with %q: %+v, %v", c.name, c.contents, ev, err)
		}
	}
}

// I17: a third field that is empty is no buffer, though a digest be of nothing.
func TestI17_AnEmptyFieldIsNoBuffer(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(nil), "/an/empty/file")
	e.Template, e.Data = []byte("ima-sig"), append(e.Data, 0, 0, 0, 0)
	if ev, err := e.Event(); err != nil || ev.Buffer != nil {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestI16_AStoredPointIsWhole(t *testing.T) {
	for _, c := range []struct {
		bank pcr.Bank
		size int
	}{{pcr.SHA256, 31}, {pcr.SHA256, 33}, {pcr.SHA256, 0}, {0, 0}, {0x12, 32}} {
		if _, err := ima.ResumeState(c.bank, 1, make([]byte, c.size)); err == nil {
			t.Errorf("bank %v with %d bytes is a point", c.bank, c.size)
		}
	}
}
