package ca

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// packaged makes a certificate that is sent as a version of a payload, at a time unless
// that is zero.
func packaged(t *testing.T, a Authority, r *Register, agent, payload string, version uint64, sent time.Time) Entry {
	t.Helper()
	names, err := NewNames(nil, nil, nil, agent)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Issue(Request{agent, names, made(P256.Generate()).Public(), day}, now)
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.AddPackage(c, names, Package{Payload: payload, Version: version, Life: 86400}, now)
	if err != nil {
		t.Fatal(err)
	}
	if !sent.IsZero() {
		if marked := r.MarkSent(sent, e.Serial); len(marked) != 1 || marked[0].Serial != e.Serial || !marked[0].Package.SentAt.Equal(sent.Truncate(time.Second)) {
			t.Fatalf("%+v", marked)
		}
	}
	return e
}

// serials are those of a line: sent, then those that are not.
func serials(l Line) (s []string) {
	s = []string{""}
	if l.Sent != nil {
		s[0] = l.Sent.Serial
	}
	for _, e := range l.Unsent {
		s = append(s, e.Serial)
	}
	return s
}

func TestI22_Lines(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	x, y := strings.Repeat("1", 64), strings.Repeat("2", 64)
	issue(t, a, &r, "web", Names{}, day, now)
	old := packaged(t, a, &r, x, "certificate", 1, now)
	lost := packaged(t, a, &r, x, "certificate", 2, time.Time{})
	first := packaged(t, a, &r, y, "certificate", 1, time.Time{})
	sent := packaged(t, a, &r, x, "certificate", 3, now)
	other := packaged(t, a, &r, x, "vpn", 9, now)
	next := packaged(t, a, &r, x, "certificate", 4, time.Time{})
	last := packaged(t, a, &r, x, "certificate", 5, time.Time{})
	lines := r.Lines()
	var got [][]string
	for _, l := range lines {
		got = append(got, append([]string{l.Agent, l.Payload, l.Newest}, serials(l)...))
	}
	want := [][]string{
		{x, "certificate", last.Serial, sent.Serial, next.Serial, last.Serial},
		{y, "certificate", first.Serial, "", first.Serial},
		{x, "vpn", other.Serial, other.Serial},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for version, want := range map[uint64][]string{
		1: nil, 2: nil, 3: nil, 6: nil, // older ones are over, newer ones are somebody else's
		4: {next.Serial, last.Serial},
		5: {last.Serial},
	} {
		l, ok := lines[0].Found(version, now.Add(time.Hour))
		if ok != (want != nil) || ok && !cmp.Equal(want, serials(l)) || ok && !l.Sent.Package.SentAt.Equal(now.Add(time.Hour).Truncate(time.Second)) {
			t.Errorf("found version %d: %v, %v", version, ok, serials(l))
		}
	}
	if d := cmp.Diff([]string{sent.Serial, next.Serial, last.Serial}, serials(lines[0])); d != "" {
		t.Errorf("a line that was asked is another: %s", d)
	}
	// Two at once: the greater version is in force, though it was entered first.
	packaged(t, a, &r, y, "certificate", 8, now)
	packaged(t, a, &r, y, "certificate", 7, now)
	if l := r.Lines()[1]; l.Sent == nil || l.Sent.Package.Version != 8 || len(l.Unsent) != 0 {
		t.Errorf("%+v", l)
	}
	_, _ = old, lost
}

func TestMarkSentLeavesCopiesAlone(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	e := packaged(t, a, &r, strings.Repeat("1", 64), "certificate", 1, time.Time{})
	before := r
	if marked := r.MarkSent(now, e.Serial, "none"); len(marked) != 1 || before.Certificates[0].Package.SentAt != (time.Time{}) || r.Certificates[0].Package.SentAt.IsZero() {
		t.Errorf("%+v", marked)
	}
	if marked := r.MarkSent(now, "none"); marked != nil {
		t.Errorf("%+v", marked)
	}
}

func TestInLastThird(t *testing.T) {
	e := Entry{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * time.Hour), Package: &Package{SentAt: now}}
	for after, want := range map[time.Duration]bool{0: false, 20*time.Hour - time.Second: false, 20 * time.Hour: true, 40 * time.Hour: true} {
		if got := e.InLastThird(now.Add(after)); got != want {
			t.Errorf("after %v: %v", after, got)
		}
	}
}

func TestI04_PackagesAsText(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	id := strings.Repeat("1", 64)
	e := packaged(t, a, &r, id, "certificate", 20260304050607, now)
	r.Certificates[0].Package.Include, r.Certificates[0].Package.AcceptEK = []string{"/etc/x"}, true
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRegister(text)
	if d := cmp.Diff(r, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for what, c := range map[string][2]string{
		"no payload":          {`"payload": "certificate"`, `"payload": ""`},
		"a path":              {`"payload": "certificate"`, `"payload": "../x"`},
		"no version":          {`"version": 20260304050607`, `"version": 0`},
		"a version below 0":   {`"version": 20260304050607`, `"version": -1`},
		"no life":             {`"life_seconds": 86400`, `"life_seconds": 0`},
		"a life without end":  {`"life_seconds": 86400`, `"life_seconds": 9223372036854775807`},
		"no agent":            {`"agent": "` + id + `"`, `"agent": ""`},
		"an unknown key":      {`"accept_ek"`, `"x"`},
		"a time that is none": {`"sent_at": "2`, `"sent_at": "x`},
	} {
		bad := strings.Replace(string(text), c[0], c[1], 1)
		if _, err := ParseRegister([]byte(bad)); bad == string(text) || err == nil {
			t.Errorf("%s was read", what)
		}
	}
	for what, p := range map[string]Package{"no life": {Payload: "p", Version: 1}, "no version": {Payload: "p", Life: 1}, "no name": {Version: 1, Life: 1}} {
		c, err := a.Issue(Request{"x", Names{}, a.Key().Public(), day}, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.AddPackage(c, e.Names, p, now); err == nil || len(r.Certificates) != 1 {
			t.Errorf("%s was entered", what)
		}
	}
}

// A register of a program that knew nothing of packages is read as it is.
func TestRegisterWithoutPackages(t *testing.T) {
	text, err := os.ReadFile("testdata/register-without-packages.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRegister(text)
	if err != nil || len(r.Certificates) != 2 || len(r.Lines()) != 0 || r.Certificates[1].Names.Agent == "" || !r.Certificates[0].Revoked() {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := r.Marshal(); err != nil || string(again) != string(text) {
		t.Errorf("it is written as another: %s, %v", again, err)
	}
}
