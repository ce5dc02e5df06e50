package eventlog_test

import (
	"bytes"
	"errors"
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
