package systemdlog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"quicklime/verifier/systemdlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

const captured = "ovmf-uki-systemd-6.12"

// What systemd 257 wrote is read, and each text is what its digests are of.
func TestI20_CapturedLog(t *testing.T) {
	l, err := systemdlog.Parse(verifiertest.SystemdLog(t, captured))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, r := range l.Records() {
		text, kind := r.Claim()
		for _, b := range []pcr.Bank{pcr.SHA1, pcr.SHA256} {
			if covered, ok := r.Text(b); !ok || covered != text {
				t.Errorf("record %d, %v: %q is not what was measured", i, b, text)
			}
		}
		if _, ok := r.Text(pcr.SHA384); ok || r.Digest(pcr.SHA384) != nil || r.Number() != i {
			t.Errorf("record %d: %+v", i, r)
		}
		got = append(got, kind+" "+text)
	}
	want := "phase enter-initrd, phase leave-initrd, machine-id machine-id:0123456789abcdef0123456789abcdef, phase sysinit, phase ready"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
	if l.Records()[2].PCR() != 15 || l.Records()[3].PCR() != 11 {
		t.Error("PCRs")
	}
}

// I04: a log that is cut inside a record is refused, and one that is cut behind one is
// the shorter log.
func TestI04_EveryCut(t *testing.T) {
	b := verifiertest.SystemdLog(t, captured)
	for n := range b {
		l, err := systemdlog.Parse(b[:n])
		whole := n == 0 || b[n-1] == '\n'
		if whole != (err == nil) || !whole && !errors.Is(err, systemdlog.ErrMalformed) || whole && len(l.Records()) != bytes.Count(b[:n], []byte("\n")) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

const (
	digests = `"digests":[{"hashAlg":"sha256","digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]`
	good    = "\x1e{\"pcr\":11," + digests + "}\n"
)

func TestI04_I20_LogsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ log, says string }{
		{strings.Repeat(" ", systemdlog.MaxLog+1), "the limit is"},
		{strings.Repeat(good, 2)[1:], "begins with byte"},
		{good + good[:len(good)-1], "record 1 at byte 121: malformed log of systemd: it ends inside"},
		{"\x1e" + strings.Repeat(" ", 17<<10) + "\n", "a record of"},
		{strings.Repeat("\x1e{\"nv_index\":1}\n", systemdlog.MaxRecords+1), "more than 4096 records"},
		{"\x1e{\"pcr\":11," + digests + ",\"x\":\"\xff\"}\n", "not UTF-8"},
		{`{"pcr":11,` + digests + `,"x":"\ud800"}`, "half a character"},
		{`{"pcr":11,` + digests + `}{}`, "something follows"},
		{`{"pcr":11,"pcr":12,` + digests + `}`, "pcr the name is there twice"},
		{`{"pcr":11,` + digests + `,"content":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, "more than 8 levels deep"},
		{`[]`, "want an object"},
		{`"x"`, "want an object"},
		{`{"pcr":24,` + digests + `}`, "there is no PCR"},
		{`{"pcr":-1,` + digests + `}`, "there is no PCR"},
		{`{"pcr":"11",` + digests + `}`, "there is no PCR"},
		{`{` + digests + `}`, "there is no PCR"},
		{`{"pcr":11}`, "digests are to be 1 to 16"},
		{`{"pcr":11,"digests":[]}`, "digests are to be 1 to 16"},
		{`{"pcr":11,"digests":[` + strings.Repeat(`{"hashAlg":"x","digest":""},`, 16) + `{}]}`, "digests are to be 1 to 16"},
		{`{"pcr":11,"digests":[{"digest":""}]}`, "has hashAlg and digest"},
		{`{"pcr":11,"digests":[1]}`, "has hashAlg and digest"},
		{`{"pcr":11,"digests":[{"hashAlg":"sha256","digest":"e3"}]}`, "which has one of 32 bytes"},
		{strings.Replace(`{"pcr":11,`+digests+`}`, "}]", "},"+digests[len(`"digests":[`):], 1), "which has one of 32 bytes"},
		{`{"pcr":11,` + digests, "ends inside a value"},
	} {
		log := c.log
		if c.says != "begins with byte" && strings.ContainsAny(log[:1], `{["`) {
			log = "\x1e" + log + "\n"
		}
		if _, err := systemdlog.Parse([]byte(log)); !errors.Is(err, systemdlog.ErrMalformed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60q: %v, want %q", log, err, c.says)
		}
	}
}

// What is no measurement of a PCR, or of a bank that is not known, is passed over.
func TestRecordsThatArePassedOver(t *testing.T) {
	l, err := systemdlog.Parse([]byte("\x1e{\"nv_index\":30474752,\"digests\":[]}\n" + good +
		"\x1e{\"pcr\":9,\"digests\":[{\"hashAlg\":\"sm3-256\",\"digest\":\"00\"}],\"content_type\":\"other\",\"content\":{\"string\":\"x\"}}\n"))
	if err != nil || len(l.Records()) != 2 {
		t.Fatalf("%v, %+v", err, l)
	}
	if text, kind := l.Records()[1].Claim(); text != "" || kind != "" || l.Records()[0].Number() != 1 {
		t.Errorf("%q, %q", text, kind)
	}
	if _, ok := l.Records()[0].Text(pcr.SHA256); ok {
		t.Error("a record without a text has one")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(verifiertest.SystemdLog(f, captured))
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := systemdlog.Parse(b)
		if err != nil {
			if !errors.Is(err, systemdlog.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(l.Records()) > bytes.Count(b, []byte("\n")) {
			t.Fatalf("%d records", len(l.Records()))
		}
		for _, r := range l.Records() {
			for _, bank := range pcr.Banks {
				if d := r.Digest(bank); d != nil && len(d) != bank.Size() {
					t.Fatalf("%v: %x", bank, d)
				}
				if text, ok := r.Text(bank); ok && !bytes.Equal(bank.Sum([]byte(text)), r.Digest(bank)) {
					t.Fatalf("%q is believed", text)
				}
			}
			if r.PCR() < 0 || r.PCR() >= pcr.Count || b[r.Offset()] != 0x1e {
				t.Fatalf("%+v", r)
			}
		}
	})
}
