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

// I17: an entry of the legacy template is 276 bytes that would read as another.
func TestI17_LegacyTemplateIsRefused(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/a")
	e.Template = []byte("ima")
	if _, _, err := ima.ParseEntry(e.AppendTo(nil)); !errors.Is(err, ima.ErrMalformed) {
		t.Error(err)
	}
}

// I17: a third field that is empty is no buffer, though a digest be of nothing.
func TestI17_AnEmptyFieldIsNoBuffer(t *testing.T) {
	e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(nil), "/an/empty/file")
	e.Data = append(e.Data, 0, 0, 0, 0)
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
