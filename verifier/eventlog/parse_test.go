package eventlog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// I04: a log cut at any byte is refused, or is whole events, and they are the same.
func TestI04_EveryCut(t *testing.T) {
	for _, name := range []string{"ovmf-secureboot-6.1", "direct-6.1-ima-ng", "ovmf-6.1-sha384bank"} {
		b := verifiertest.BootLog(t, name)
		all, bank := parse(t, b), pcr.SHA256
		want, err := all.Suppose(bank)
		if err != nil {
			t.Fatal(err)
		}
		quoted, last := verifiertest.Quoted(t, verifiertest.PCRs(t, name)), want.Events()[len(want.Events())-1].PCR()
		whole := 0
		for n := range b {
			l, err := eventlog.Parse(b[:n])
			if err != nil {
				if !errors.Is(err, eventlog.ErrMalformed) {
					t.Fatalf("%s, cut at %d: %v", name, n, err)
				}
				continue
			}
			whole++
			got, err := l.Suppose(bank)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range got.Events() {
				if w := want.Events()[i]; e.Offset() != w.Offset() || !bytes.Equal(e.Digest(), w.Digest()) || !cmp.Equal(e.Data(), w.Data()) || e.Check() != w.Check() {
					t.Fatalf("%s, cut at %d: event %d differs", name, n, e.Number())
				}
			}
			// What a cut leaves is not what was quoted.
			if r := l.Replay(quoted); r.Proven().Has(last) {
				t.Errorf("%s, cut at %d: PCR %d is proven", name, n, last)
			}
		}
		if whole != all.Len()-1 {
			t.Errorf("%s: %d cuts were taken for logs, want %d", name, whole, all.Len()-1)
		}
	}
}

// I20: no byte of an event can be changed and still be believed: another digest
// leads elsewhere, and of other data the digest is not. What no digest covers is in
// no Data.
func TestI20_EveryByteOfDataIsCoveredOrNotGiven(t *testing.T) {
	for _, name := range []string{"ovmf-secureboot-6.1", "ovmf-6.1-ima-ng", "direct-6.1-ima-ng"} {
		b := verifiertest.BootLog(t, name)
		s, err := parse(t, b).Suppose(pcr.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for i, e := range s.Events() {
			if e.Data() == nil {
				continue
			}
			checked++
			size := len(e.Claim().Unchecked())
			end := len(b)
			if i+1 < len(s.Events()) {
				end = s.Events()[i+1].Offset()
			}
			at := end - size
			for n := at; n < at+size; n += 1 + size/40 {
				changed := bytes.Clone(b)
				changed[n] ^= 0x20
				s2, err := parse(t, changed).Suppose(pcr.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				if e2 := s2.Events()[i]; e2.Data() != nil && !cmp.Equal(e.Data(), e2.Data()) {
					t.Errorf("%s, event %d (%s), byte %d of its data: %v is believed", name, e.Number(), e.Type(), n-at, e2.Data())
				}
			}
		}
		if checked < 12 {
			t.Errorf("%s: %d events have data", name, checked)
		}
	}
}

func TestI04_I20_LogsThatAreRefused(t *testing.T) {
	good := write(whole(4, eventlog.EFIAction, "x"))
	with := func(at int, to ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], to)
		return b
	}
	x := whole(4, eventlog.EFIAction, "x")
	for name, c := range map[string]struct {
		log  []byte
		want string
	}{
		"nothing":                    {nil, "empty"},
		"too long":                   {make([]byte, eventlog.MaxLog+1), "the limit is 1048576"},
		"too many events":            {bytes.Repeat(x.appendTo(nil)[:12], eventlog.MaxEvents), "ends inside"},
		"one event too many":         {bytes.Repeat(make([]byte, 32), eventlog.MaxEvents+1), "event 16384 at byte 524288: malformed event log: it has more than 16384 events"},
		"another major version":      {with(32+21, 3), "of version 3.0"},
		"another minor version":      {with(32+20, 1), "of version 2.1"},
		"no bank":                    {with(32+24, 0), "of 0 banks"},
		"too many banks":             {with(32+24, 17), "of 17 banks"},
		"a table that is cut":        {with(32+24, 2), "ends inside its table"},
		"a bank two times":           {x.appendTo(header(pcr.SHA256, pcr.SHA256), pcr.SHA256), "named twice"},
		"a known bank's other size":  {with(32+30, 31), "digests of 31 bytes in bank sha256"},
		"a bank without size":        {with(32+28, 0x12, 0, 0, 0), "digests of 0 bytes"},
		"a bank with too large ones": {with(32+28, 0x12, 0, 65, 0), "digests of 65 bytes"},
		"vendor information cut":     {with(32+32, 1), "which is not what it says"},
		"the header for PCR 1":       {with(0, 1), "for PCR 1"},
		"the header with a digest":   {with(8, 1), "want PCR 0 and zeros"},
		"a PCR that is none":         {write(whole(24, eventlog.EFIAction, "x")), "no PCR 24"},
		"no digest":                  {append(header(pcr.SHA256), 4, 0, 0, 0, 7, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0), "0 digests"},
		"more digests than banks":    {append(header(pcr.SHA256), x.appendTo(nil, pcr.SHA256, pcr.SHA1)...), "2 digests"},
		"a digest two times":         {append(header(pcr.SHA1, pcr.SHA256), x.appendTo(nil, pcr.SHA256, pcr.SHA256)...), "or a second one"},
		"a digest of no such bank":   {append(header(pcr.SHA256), x.appendTo(nil, pcr.SHA1)...), "bank sha1, which the log is not of"},
		"one byte behind":            {append(bytes.Clone(good), 0), "event 2 at byte 116: malformed event log: it ends inside the event"},
		"four gigabytes of data":     {with(len(good)-5, 0xff, 0xff, 0xff, 0xff), "it ends inside the event"},
	} {
		l, err := eventlog.Parse(c.log)
		if !errors.Is(err, eventlog.ErrMalformed) || !strings.Contains(err.Error(), c.want) || l.Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := eventlog.Parse(good); err != nil {
		t.Error(err)
	}
}

// EV_NO_ACTION extends nothing and is not given out, whatever PCR it names.
func TestI20_NoActionIsNotBelieved(t *testing.T) {
	log := write(whole(0xffffffff, eventlog.NoAction, "SP800-155 Event"), whole(4, eventlog.NoAction, "x"), whole(4, eventlog.EFIAction, "y"))
	r := parse(t, log).Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, map[int][]byte{4: extended(0, "y")})))
	if len(r.Events()) != 1 || r.Events()[0].Number() != 3 {
		t.Errorf("%d events", len(r.Events()))
	}
}

func TestGUID(t *testing.T) {
	const s = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	g, err := eventlog.ParseGUID(strings.ToUpper(s))
	if err != nil || g.String() != s || g != eventlog.GlobalVariable || g[0] != 0x61 {
		t.Errorf("%v, %v", g, err)
	}
	for _, bad := range []string{"", s + "-", s[1:], "gbe4df61-93ca-11d2-aa0d-00e098032b8c", strings.ReplaceAll(s, "-", "")} {
		if _, err := eventlog.ParseGUID(bad); err == nil {
			t.Errorf("%q is a GUID", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range verifiertest.BootLogs(f) {
		f.Add(verifiertest.BootLog(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := eventlog.Parse(b)
		if err != nil {
			if l.Len() != 0 || !errors.Is(err, eventlog.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		for _, bank := range l.Banks() {
			s, err := l.Suppose(bank)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range s.Events() {
				if len(e.Digest()) != bank.Size() || e.PCR() >= pcr.Count || (e.Data() != nil) != (e.Check() == eventlog.Checked) {
					t.Errorf("event %d: %x, %v, %s", e.Number(), e.Digest(), e.Data(), e.Check())
				}
				e.Measured()
				e.Claimed()
				e.Claim().Image()
				e.Claim().Tag()
				if v, ok := e.Claim().Variable(); ok {
					all, _ := v.Signatures()
					levels, _ := v.SBAT()
					if len(all)+len(levels) > len(v.Value) {
						t.Errorf("%d signatures, %d levels in %d bytes", len(all), len(levels), len(v.Value))
					}
					eventlog.BootValue{Value: v.Value}.LoadOption()
				}
			}
		}
	})
}

// The table of banks is all that the first event has: what is behind it could be
// anything.
func TestI20_HeaderIsReadWhole(t *testing.T) {
	b := header(pcr.SHA256)
	longer := append(bytes.Clone(b), 7)
	longer[28]++ // its size
	vendor := append(bytes.Clone(longer), []byte{}...)
	vendor[len(vendor)-2] = 1 // vendorInfoSize
	if _, err := eventlog.Parse(longer); !errors.Is(err, eventlog.ErrMalformed) {
		t.Errorf("a byte behind: %v", err)
	}
	for _, good := range [][]byte{b, vendor} {
		if l, err := eventlog.Parse(good); err != nil || l.Len() != 1 {
			t.Errorf("%d events, %v", l.Len(), err)
		}
	}
}
