package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/quote"
	"quicklime/verifier/systemdlog"
	"quicklime/verifier/verifiertest"
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

// I20: every captured log leads to its own PCRs, in every bank.
func TestI20_ReplayOfCapturesReachesTheirPCRs(t *testing.T) {
	for _, name := range verifiertest.BootLogs(t) {
		t.Run(name, func(t *testing.T) {
			v := verifiertest.PCRs(t, name)
			systemd, err := systemdlog.Parse(verifiertest.SystemdLog(t, name))
			if err != nil {
				t.Fatal(err)
			}
			count := map[int]int{}
			for _, m := range systemd.Records() {
				count[m.PCR()]++
			}
			r := parse(t, verifiertest.BootLog(t, name)).With(systemd).Replay(verifiertest.Quoted(t, v))
			if len(r.Outcomes()) != v.Selection().Len() || v.Selection().Len() < 24 {
				t.Errorf("%d outcomes of %d PCRs", len(r.Outcomes()), v.Selection().Len())
			}
			for _, o := range r.Outcomes() {
				want := eventlog.Untouched
				switch {
				case o.PCR == pcr.IMA:
					want = eventlog.Unlogged
				case o.Events > 0, count[o.PCR] > 0:
					want = eventlog.Proven
				}
				if o.State != want || o.Runtime != count[o.PCR] {
					t.Errorf("%s, want %s with %d of systemd", o, want, count[o.PCR])
				}
			}
			for i := range 8 {
				if !r.Proven().Has(i) {
					t.Errorf("PCR %d is not proven", i)
				}
			}
			if len(r.Events()) < 13 {
				t.Errorf("%d events", len(r.Events()))
			}
			for _, e := range r.Events() {
				if e.Check() == eventlog.Contradicted || e.Quirk() != "" || e.Type() == eventlog.NoAction {
					t.Errorf("event %d: %s, %s, %s", e.Number(), e.Type(), e.Check(), e.Quirk())
				}
			}
		})
	}
}

// Another boot's log proves nothing of what differs.
func TestI20_AnotherLogIsNotProven(t *testing.T) {
	r := parse(t, verifiertest.BootLog(t, "ovmf-6.1-ima-ng")).Replay(verifiertest.Quoted(t, verifiertest.PCRs(t, "ovmf-secureboot-6.1")))
	for _, e := range r.Events() {
		if e.PCR() == 7 || e.PCR() == 4 {
			t.Fatalf("event %d of PCR %d is given out", e.Number(), e.PCR())
		}
	}
	if o, ok := r.PCR(pcr.SHA256, 7); !ok || o.State != eventlog.Mismatch {
		t.Errorf("%s, %v", o, ok)
	}
	if o, ok := r.PCR(pcr.SHA256, 8); !ok || o.State != eventlog.Unlogged {
		t.Errorf("%s, %v", o, ok)
	}
	if r.Proven().Has(7) {
		t.Error("PCR 7 is proven")
	}
}

func TestI20_ZeroQuoteProvesNothing(t *testing.T) {
	r := parse(t, verifiertest.BootLog(t, "ovmf-secureboot-6.1")).Replay(quote.Verified{})
	if len(r.Events()) != 0 || len(r.Outcomes()) != 0 || r.Proven() != 0 {
		t.Errorf("%d events, %d outcomes", len(r.Events()), len(r.Outcomes()))
	}
	if _, ok := r.StartupLocality(); ok {
		t.Error("a locality that nothing proves")
	}
}

// A PCR whose events lead to the quoted value in one bank and not in the other is
// not proven.
func TestI20_EveryQuotedBankCounts(t *testing.T) {
	v := verifiertest.PCRs(t, "ovmf-secureboot-6.1")
	for n, bank := range []pcr.Bank{pcr.SHA1, pcr.SHA256} {
		digests := slices.Clone(v.Digests())
		digests[24*n+7] = bank.Sum([]byte("other"))
		changed, err := pcr.NewValues(v.Selection(), digests)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, verifiertest.BootLog(t, "ovmf-secureboot-6.1")).Replay(verifiertest.Quoted(t, changed))
		if r.Proven().Has(7) || !r.Proven().Has(4) {
			t.Errorf("%v: proven %x", bank, r.Proven())
		}
		for _, e := range r.Events() {
			if e.PCR() == 7 {
				t.Fatalf("%v: event %d is given out", bank, e.Number())
			}
		}
	}
}

// I20: what PCR 0 starts from, and what the log says of it.
func TestI20_StartupLocality(t *testing.T) {
	locality := func(b byte) event {
		return whole(0, eventlog.NoAction, "StartupLocality\x00"+string(rune(b)))
	}
	version := whole(0, eventlog.SCRTMVersion, "v\x001\x00")
	for name, c := range map[string]struct {
		log    []byte
		quoted []byte
		state  eventlog.State
		cause  eventlog.Cause
	}{
		"none":                  {write(version), extended(0, "v\x001\x00"), eventlog.Proven, ""},
		"0":                     {write(locality(0), version), extended(0, "v\x001\x00"), eventlog.Proven, ""},
		"3":                     {write(locality(3), version), extended(3, "v\x001\x00"), eventlog.Proven, ""},
		"4, an H-CRTM":          {write(locality(4), version), extended(4, "v\x001\x00"), eventlog.Proven, ""},
		"3, and no other event": {write(locality(3)), extended(3), eventlog.Untouched, ""},
		"3, said to be 0":       {write(version), extended(3, "v\x001\x00"), eventlog.Mismatch, eventlog.CauseLocality},
		"0, said to be 3":       {write(locality(3), version), extended(0, "v\x001\x00"), eventlog.Mismatch, eventlog.CauseLocality},
	} {
		r := parse(t, c.log).Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, map[int][]byte{0: c.quoted})))
		o, _ := r.PCR(pcr.SHA256, 0)
		if o.State != c.state || o.Cause != c.cause {
			t.Errorf("%s: %s", name, o)
		}
	}
	for name, log := range map[string][]byte{
		"of locality 1":            write(locality(1), version),
		"after PCR 0 was extended": write(version, locality(3)),
		"two times":                write(locality(3), locality(3), version),
		"with bytes behind":        write(whole(0, eventlog.NoAction, "StartupLocality\x00\x03\x00"), version),
		"without its byte":         write(whole(0, eventlog.NoAction, "StartupLocality\x00"), version),
		"for PCR 1":                write(whole(1, eventlog.NoAction, "StartupLocality\x00\x03"), version),
	} {
		if _, err := eventlog.Parse(log); !errors.Is(err, eventlog.ErrMalformed) || !strings.Contains(err.Error(), "event ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No mismatch is repaired, and what would explain it is said.
func TestI20_Mismatches(t *testing.T) {
	const invocation, success, failure = "Exit Boot Services Invocation", "Exit Boot Services Returned with Success", "Exit Boot Services Returned with Failure"
	log := write(whole(5, eventlog.SeparatorEvent, "\x00\x00\x00\x00"), whole(5, eventlog.EFIAction, "x"))
	for name, c := range map[string]struct {
		quoted []byte
		state  eventlog.State
		cause  eventlog.Cause
	}{
		"as logged":                   {extended(0, "\x00\x00\x00\x00", "x"), eventlog.Proven, ""},
		"exit not logged":             {extended(0, "\x00\x00\x00\x00", "x", invocation, success), eventlog.Mismatch, eventlog.CauseExitBootServices},
		"failed exit not logged":      {extended(0, "\x00\x00\x00\x00", "x", invocation, failure), eventlog.Mismatch, eventlog.CauseExitBootServices},
		"exit at the second try":      {extended(0, "\x00\x00\x00\x00", "x", invocation, failure, success), eventlog.Mismatch, eventlog.CauseExitBootServices},
		"an event more than measured": {extended(0, "\x00\x00\x00\x00"), eventlog.Mismatch, eventlog.CauseEarlier},
		"nothing measured":            {extended(0), eventlog.Mismatch, eventlog.CauseReset},
		"something else":              {extended(0, "y"), eventlog.Mismatch, ""},
	} {
		r := parse(t, log).Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, map[int][]byte{5: c.quoted})))
		o, _ := r.PCR(pcr.SHA256, 5)
		if o.State != c.state || o.Cause != c.cause || (len(r.Events()) > 0) != (c.state == eventlog.Proven) || !strings.Contains(o.String(), string(c.cause)) {
			t.Errorf("%s: %s, %d events", name, o, len(r.Events()))
		}
	}
}

// I20: a PCR without events holds its reset value, or is not accounted for.
func TestI20_PCRsWithoutEvents(t *testing.T) {
	ones, zeros := bytes.Repeat([]byte{0xff}, 32), make([]byte, 32)
	log := parse(t, write(whole(4, eventlog.EFIAction, "x")))
	r := log.Replay(verifiertest.Quoted(t, values(t, pcr.SHA256, map[int][]byte{0: zeros, 1: ones, 16: zeros, 17: ones, 18: zeros, 22: ones, 23: zeros})))
	got := map[int]eventlog.State{}
	for _, o := range r.Outcomes() {
		got[o.PCR] = o.State
	}
	want := map[int]eventlog.State{0: eventlog.Untouched, 1: eventlog.Unlogged, 16: eventlog.Untouched, 17: eventlog.Untouched, 18: eventlog.Unlogged, 22: eventlog.Untouched, 23: eventlog.Untouched}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// A bank that the log is not of, or of which one event has no digest, proves
// nothing.
func TestI20_BanksOfALog(t *testing.T) {
	v := func(b pcr.Bank) quote.Verified {
		return verifiertest.Quoted(t, values(t, b, map[int][]byte{4: b.Extend(make([]byte, b.Size()), b.Sum([]byte("x"))), 5: make([]byte, b.Size())}))
	}
	x := whole(4, eventlog.EFIAction, "x")
	both := x.appendTo(header(pcr.SHA1, pcr.SHA256), pcr.SHA256, pcr.SHA1)
	one := x.appendTo(header(pcr.SHA1, pcr.SHA256), pcr.SHA256)
	old := x.appendTo(nil)
	old = slices.Concat(old[:8], pcr.SHA1.Sum([]byte("x")), old[12:])
	for name, c := range map[string]struct {
		log  []byte
		bank pcr.Bank
		want eventlog.State
	}{
		"in the table's order or not": {both, pcr.SHA1, eventlog.Proven},
		"the other bank":              {both, pcr.SHA256, eventlog.Proven},
		"not of the log":              {both, pcr.SHA384, eventlog.NoDigest},
		"not of the event":            {one, pcr.SHA1, eventlog.NoDigest},
		"of the event":                {one, pcr.SHA256, eventlog.Proven},
		"of TPM 1.2":                  {old, pcr.SHA1, eventlog.Proven},
		"of TPM 1.2, another bank":    {old, pcr.SHA256, eventlog.NoDigest},
	} {
		r := parse(t, c.log).Replay(v(c.bank))
		if o, _ := r.PCR(c.bank, 4); o.State != c.want || (len(r.Events()) == 1) != (c.want == eventlog.Proven) {
			t.Errorf("%s: %s", name, o)
		}
	}
	l := parse(t, one)
	if diff := cmp.Diff([]pcr.Bank{pcr.SHA1, pcr.SHA256}, l.Banks()); diff != "" {
		t.Error(diff)
	}
	if _, err := l.Suppose(pcr.SHA384); err == nil {
		t.Error("read in a bank that it is not of")
	}
	s, err := l.Suppose(pcr.SHA1)
	if _, ok := s.PCR(4); err != nil || ok || len(s.Events()) != 0 {
		t.Errorf("%v: an event without a digest counts", err)
	}
}

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
