package tenant

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quicklime/tenant/ca/state"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// at runs the program at another time than now.
func (f *fake) at(t *testing.T, when time.Time, args ...string) outcome {
	t.Helper()
	var stdout, stderr strings.Builder
	p := &program{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, now: func() time.Time { return when }, pause: time.Millisecond}
	return outcome{p.run(t.Context(), append([]string{"--config", f.dir}, args...)), stdout.String(), stderr.String()}
}

// renew runs "ca renew" at a time and reads its answer.
func (f *fake) renew(t *testing.T, when time.Time, flags ...string) (outcome, renewalList) {
	t.Helper()
	o := f.at(t, when, append([]string{"ca", "renew", "--json"}, flags...)...)
	var l renewalList
	if err := json.Unmarshal([]byte(o.stdout), &l); err != nil && o.stdout != "" {
		t.Fatalf("%+v: %v", o, err)
	}
	return o, l
}

// one is the only renewal of a list.
func one(t *testing.T, l renewalList) renewalView {
	t.Helper()
	if len(l.Renewals) != 1 {
		t.Fatalf("%+v", l)
	}
	return l.Renewals[0]
}

func TestRenewWhenTwoThirdsAreOver(t *testing.T) {
	f, id := certifier(t)
	f.write(t, "extra", "x")
	if o := f.sendCert(t, id, "--dns", "web-1.example", "--key", "p256", "--include", f.file("extra")); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	first := f.certs(t)[0]
	if o, l := f.renew(t, now.Add(16*time.Hour-time.Second)); o.code != 0 || len(l.Renewals) > 0 || l.NotDue != 1 || len(f.certs(t)) != 1 {
		t.Fatalf("before: %+v", o)
	}
	if o := f.at(t, now.Add(time.Hour), "ca", "renew"); o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, "nothing to renew: 1 certificate is not due") {
		t.Errorf("%+v", o)
	}
	due := now.Add(16 * time.Hour)
	o, l := f.renew(t, due)
	v := one(t, l)
	all := f.certs(t)
	if o.code != 0 || len(all) != 2 || v.Result != renewed || v.Agent != id || v.Label != "web-1" || v.Payload != "certificate" || v.Replaces.Serial != first.Serial || v.Certificate == nil || v.Certificate.Serial != all[1].Serial {
		t.Fatalf("%+v", o)
	}
	got, p := all[1], f.payloads[id+"/certificate"]
	if got.Serial == first.Serial || !got.NotAfter.Equal(due.Add(24*time.Hour)) || !slices.Equal(got.Names.DNS, first.Names.DNS) || got.Names.Agent != id || got.Key != first.Key {
		t.Errorf("%+v", got)
	}
	if got.Package.Version != p.Version || p.Version <= first.Package.Version || !p.Complete || !p.ExpiresAt.Equal(got.NotAfter) || !got.Package.SentAt.Equal(due) || !slices.Equal(got.Package.Include, first.Package.Include) || !got.Package.AcceptEK {
		t.Errorf("%+v, %+v", got.Package, p.Payload)
	}
	if first.Revoked() || all[0].Revoked() {
		t.Error("what it replaces was revoked")
	}
	// Again at once there is nothing to do.
	if o, l := f.renew(t, due); o.code != 0 || len(l.Renewals) > 0 || l.NotDue != 1 || len(f.certs(t)) != 2 {
		t.Errorf("again: %+v", o)
	}
}

func TestRenewFlags(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id)
	f.sendCert(t, id, "--name", "vpn", "--life", "48h")
	for _, c := range []struct {
		flags []string
		count int
	}{
		{nil, 0},
		{[]string{"--within", "23h"}, 0},
		{[]string{"--within", "24h"}, 1},
		{[]string{"--within", "48h", id}, 2},
		{[]string{"--all"}, 2},
		{[]string{"--all", "web-1"}, 2},
	} {
		if o, l := f.renew(t, now, c.flags...); o.code != 0 || len(l.Renewals) != c.count {
			t.Errorf("%v: %+v", c.flags, o)
		}
	}
	for _, c := range []struct {
		flags []string
		code  int
		want  string
	}{
		{[]string{"--all", "--within", "1h"}, 2, "different things"},
		{[]string{"--within", "soon"}, 2, "length of time"},
		{[]string{"nobody"}, 1, "no agent"},
		{[]string{"--dir", f.file("none")}, 1, "ca init"},
	} {
		if o, _ := f.renew(t, now, c.flags...); o.code != c.code || !strings.Contains(o.stderr, c.want) {
			t.Errorf("%v: %+v", c.flags, o)
		}
	}
	// Of another machine nothing is renewed.
	other := f.register(machine(t, "web-2"))
	f.set(rest.Agent{ID: other.ID, Label: "web-2", Trust: wire.Trusted})
	if o, l := f.renew(t, now, "--all", "web-2"); o.code != 0 || len(l.Renewals) != 0 {
		t.Errorf("%+v", o)
	}
}

// While a machine is not trusted, nothing is issued for it.
func TestI07_RenewOnlyWhileTrusted(t *testing.T) {
	for _, trust := range []wire.Trust{wire.Untrusted, wire.Pending, wire.Stale, wire.Unjudged, ""} {
		f, id := certifier(t)
		f.sendCert(t, id)
		before := f.payloads[id+"/certificate"].Payload
		f.set(rest.Agent{ID: id, Label: "web-1", Trust: trust, Reason: "a file\x1b"})
		o, l := f.renew(t, now, "--all")
		if v := one(t, l); o.code != 3 || v.Result != renewRefused || !strings.HasPrefix(v.Reason, string(trust)) || v.Certificate != nil {
			t.Errorf("%q: %+v", trust, o)
		}
		if f.payloads[id+"/certificate"].Version != before.Version || len(f.certs(t)) != 1 {
			t.Errorf("%q: something was issued or sent", trust)
		}
		if o := f.run(t, "ca", "renew", "--all"); o.code != 3 || !strings.Contains(o.stdout, "not trusted") || strings.Contains(o.stdout, "\x1b") {
			t.Errorf("%q: %+v", trust, o)
		}
		f.set(rest.Agent{ID: id, Label: "web-1", Trust: wire.Trusted})
		if o, l := f.renew(t, now, "--all"); o.code != 0 || one(t, l).Result != renewed {
			t.Errorf("%q, trusted again: %+v", trust, o)
		}
	}
	f, id := certifier(t)
	f.sendCert(t, id)
	delete(f.agents, id)
	if o, l := f.renew(t, now, "--all"); o.code != 3 || one(t, l).Result != renewRefused || len(f.certs(t)) != 1 {
		t.Errorf("not enrolled: %+v", o)
	}
}

// What somebody took out of renewal, is not renewed.
func TestI22_RenewLeavesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, f *fake, id string)
		code   int
		want   string // result; "": there is none
	}{
		"a revoked certificate": {func(t *testing.T, f *fake, id string) { f.run(t, "ca", "revoke", id, "--yes") }, 0, ""},
		"a payload withdrawn":   {func(t *testing.T, f *fake, id string) { f.run(t, "payload", "delete", id, "certificate", "--yes") }, 0, renewEnded},
		"a payload replaced": {func(t *testing.T, f *fake, id string) {
			f.run(t, "payload", "send", id, f.write(t, "p", "x"), "--name", "certificate", "--accept-ek", id)
		}, 0, renewEnded},
		"a machine not enrolled any more": {func(_ *testing.T, f *fake, id string) { delete(f.agents, id); delete(f.payloads, id+"/certificate") }, 3, renewRefused},
		"a payload forgotten":             {func(_ *testing.T, f *fake, id string) { delete(f.payloads, id+"/certificate") }, 0, renewEnded},
		"a machine enrolled anew": {func(_ *testing.T, f *fake, id string) {
			delete(f.payloads, id+"/certificate")
			f.set(rest.Agent{ID: id, Trust: wire.Trusted, EnrolledAt: now.Add(time.Minute)})
		}, 3, renewGone},
	} {
		t.Run(name, func(t *testing.T) {
			f, id := certifier(t)
			f.sendCert(t, id)
			c.change(t, f, id)
			before, count := f.payloads[id+"/certificate"], len(f.certs(t))
			o, l := f.renew(t, now, "--all")
			if o.code != c.code || len(l.Renewals) > 1 || c.want == "" && len(l.Renewals) > 0 || c.want != "" && one(t, l).Result != c.want {
				t.Errorf("%+v", o)
			}
			if f.payloads[id+"/certificate"] != before || len(f.certs(t)) != count {
				t.Error("something was issued or sent")
			}
			// Once the certificate has run out, nobody hears of it any more.
			if o, l := f.renew(t, now.Add(25*time.Hour)); o.code != 0 || len(l.Renewals) > 0 {
				t.Errorf("later: %+v", o)
			}
		})
	}
}

// An interruption between issue and send is made good by the next run, and the register
// never says what is not so.
func TestRenewAfterAnInterruption(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id)
	f.failures[rest.AddPayload] = rest.Errorf(rest.CodeTooLarge, "no room").WithHint("withdraw some")
	o, l := f.renew(t, now, "--all")
	if o.code != 1 || one(t, l).Result != renewFailed || !strings.Contains(o.stderr, "1 certificate was not renewed: no room") || !strings.Contains(o.stderr, "withdraw some") {
		t.Errorf("%+v", o)
	}
	all := f.certs(t)
	if len(all) != 2 || !all[1].Package.SentAt.IsZero() {
		t.Fatalf("%+v", all)
	}
	if o := f.run(t, "ca", "list"); !strings.Contains(o.stdout, "not known to be sent") {
		t.Errorf("%+v", o)
	}
	// It was not sent: the one before is what is renewed, when it is due.
	delete(f.failures, rest.AddPayload)
	if o, l := f.renew(t, now.Add(time.Hour)); o.code != 0 || len(l.Renewals) != 0 || l.NotDue != 1 {
		t.Errorf("%+v", o)
	}
	o, l = f.renew(t, now.Add(17*time.Hour))
	if v := one(t, l); o.code != 0 || v.Result != renewed || v.Replaces.Serial != all[0].Serial {
		t.Errorf("%+v", o)
	}
	// It was sent, and the program ended before it noted that: the next one does.
	d, err := state.Open(f.file("authority"))
	if err != nil {
		t.Fatal(err)
	}
	r := d.Register
	third := r.Certificates[2]
	p := *third.Package
	p.SentAt = time.Time{}
	third.Package = &p
	r.Certificates[2] = third
	if err := d.Save(r); err != nil {
		t.Fatal(err)
	}
	d.Close()
	o, l = f.renew(t, now.Add(18*time.Hour))
	if all := f.certs(t); o.code != 0 || len(l.Renewals) != 0 || l.NotDue != 1 || len(all) != 3 || all[2].Package.SentAt.IsZero() {
		t.Errorf("%+v", o)
	}
}

// Whoever is interrupted leaves what the register knows and the verifier does not, and
// nobody else waits for it.
func TestRenewIsInterrupted(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id)
	f.sendCert(t, id, "--name", "vpn")
	for _, at := range []rest.Route{rest.GetAgent, rest.GetMachine, rest.AddPayload, rest.PutPayload} {
		ctx, cancel := context.WithCancel(t.Context())
		f.before = map[rest.Route]func(){at: cancel}
		versions := []uint64{f.payloads[id+"/certificate"].Version, f.payloads[id+"/vpn"].Version}
		o := f.runWith(t, ctx, strings.NewReader(""), "ca", "renew", "--all")
		cancel()
		if o.code != 1 || !strings.Contains(o.stderr, "interrupted") || strings.Contains(o.stdout, " renewed ") {
			t.Errorf("%s: %+v", at.Pattern, o)
		}
		f.before = nil
		o, l := f.renew(t, now, "--all")
		if o.code != 0 || len(l.Renewals) != 2 || l.Renewals[0].Result != renewed || l.Renewals[1].Result != renewed {
			t.Errorf("after %s: %+v", at.Pattern, o)
		}
		for i, name := range []string{"certificate", "vpn"} {
			if p := f.payloads[id+"/"+name]; p.Version <= versions[i] || !p.Complete {
				t.Errorf("after %s: %+v", at.Pattern, p.Payload)
			}
		}
	}
	sent := map[uint64]bool{}
	for _, e := range f.certs(t) {
		if !e.Package.SentAt.IsZero() {
			sent[e.Package.Version] = true
		}
	}
	if len(sent) < 5 || !sent[f.payloads[id+"/vpn"].Version] {
		t.Errorf("%v were sent", sent)
	}
}

// What the verifier says of when it got a package puts off no renewal: that was not in
// the future.
func TestRenewalIsNotPutOffByTheVerifier(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id)
	f.failures = map[rest.Route]error{rest.PutPayload: rest.Errorf(rest.CodeInternal, "no")}
	f.renew(t, now.Add(17*time.Hour))
	delete(f.failures, rest.PutPayload)
	f.say(id, "certificate", func(p *fakePayload) { p.Complete, p.AddedAt = true, now.AddDate(1000, 0, 0) })
	found := now.Add(18 * time.Hour)
	if o, l := f.renew(t, found); o.code != 0 || l.NotDue != 1 {
		t.Fatalf("%+v", o)
	}
	if all := f.certs(t); len(all) != 2 || !all[1].Package.SentAt.Equal(found) {
		t.Errorf("%+v", all)
	}
	o, l := f.renew(t, f.certs(t)[1].NotAfter.Add(-time.Hour))
	if v := one(t, l); o.code != 0 || v.Result != renewed {
		t.Errorf("%+v", o)
	}
}

// A first package that was never sent is not renewed: the operator was told.
func TestRenewNothingThatWasNeverSent(t *testing.T) {
	f, id := certifier(t)
	f.failures[rest.AddPayload] = rest.Errorf(rest.CodeTooLarge, "no room")
	f.sendCert(t, id)
	delete(f.failures, rest.AddPayload)
	if o, l := f.renew(t, now, "--all"); o.code != 0 || len(l.Renewals) != 0 || len(f.payloads) != 0 || len(f.certs(t)) != 1 {
		t.Errorf("%+v", o)
	}
}

func TestRenewSaysWhatFailed(t *testing.T) {
	f, id := certifier(t)
	f.write(t, "extra", "x")
	f.sendCert(t, id, "--include", f.file("extra"))
	f.sendCert(t, id, "--name", "vpn")
	os.Remove(f.file("extra"))
	o, l := f.renew(t, now, "--all")
	if o.code != 1 || len(l.Renewals) != 2 || l.Renewals[0].Result != renewFailed || !strings.Contains(l.Renewals[0].Reason, "no such file") || l.Renewals[1].Result != renewed || !strings.Contains(o.stderr, "1 certificate was not renewed") {
		t.Errorf("%+v", o)
	}
	f.write(t, "extra", "x")
	f.registrar.Close()
	o, l = f.renew(t, now, "--all")
	if o.code != 1 || len(l.Renewals) != 2 || l.Renewals[0].Result != renewFailed || l.Renewals[1].Result != renewNotTried || !strings.Contains(o.stderr, "2 certificates were not renewed: cannot reach registrar") {
		t.Errorf("%+v", o)
	}
	f.verifier.Close()
	if o, l = f.renew(t, now, "--all"); o.code != 1 || len(l.Renewals) != 2 || l.Renewals[1].Result != renewNotTried || len(f.certs(t)) != 3 {
		t.Errorf("%+v", o)
	}
}

// What the register says when the authority is open counts, not what it said before.
func TestI22_RenewIsOvertaken(t *testing.T) {
	for name, c := range map[string]struct {
		between func(f *fake, id string)
		want    string
	}{
		"nothing":             {func(*fake, string) {}, ""},
		"another certificate": {func(f *fake, id string) { f.sendCert(t, id) }, "another certificate was issued"},
		"a revocation":        {func(f *fake, id string) { f.run(t, "ca", "revoke", id, "--yes") }, "it was revoked"},
	} {
		f, id := certifier(t)
		f.sendCert(t, id)
		var out strings.Builder
		p := &program{stdout: &out, stderr: &out, now: func() time.Time { return now }, configDir: f.dir}
		s, err := p.connect()
		if err != nil {
			t.Fatal(err)
		}
		r := &renewer{program: p, servers: s, place: &caPlace{p: p}, options: renewOptions{all: true}}
		d, err := r.place.open()
		if err != nil {
			t.Fatal(err)
		}
		lines := d.Register.Lines()
		d.Close()
		n := r.consider(t.Context(), lines[0])
		c.between(f, id)
		count := len(f.certs(t))
		issued := r.issue([]*renewal{n})
		if c.want == "" && len(issued) == 1 && len(f.certs(t)) == count+1 {
			continue
		}
		if v := r.list.Renewals[0]; len(issued) != 0 || len(f.certs(t)) != count || v.Result != renewEnded || !strings.Contains(v.Reason, c.want) || c.want == "" {
			t.Errorf("%s: %+v, %d issued", name, v, len(issued))
		}
	}
}

// Towards its end an authority renews for what is left.
func TestRenewEndsWithTheAuthority(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id, "--life", "90d")
	o, l := f.renew(t, now.Add(61*24*time.Hour))
	if v := one(t, l); o.code != 0 || v.Result != renewed || !v.Certificate.NotAfter.Equal(now.Add(100*24*time.Hour)) || v.Certificate.Package.Life != 90*86400 {
		t.Errorf("%+v", o)
	}
	if o, l := f.renew(t, now.Add(101*24*time.Hour)); o.code != 1 || one(t, l).Result != renewFailed || !strings.Contains(o.stderr, "the authority ended") {
		t.Errorf("%+v", o)
	}
}

// Two at once renew each certificate once; the authority can be used meanwhile.
func TestI22_RenewTwiceAtOnce(t *testing.T) {
	f, id := certifier(t)
	f.sendCert(t, id)
	due := now.Add(20 * time.Hour)
	done := make(chan outcome, 2)
	for range 2 {
		go func() { done <- f.at(t, due, "ca", "renew") }()
	}
	for range 2 {
		if o := <-done; o.code != 0 {
			t.Errorf("%+v", o)
		}
	}
	if n := len(f.certs(t)); n != 2 {
		t.Errorf("%d certificates", n)
	}
	finish, ok, err := state.TryRenew(f.file("authority"))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if o := f.at(t, due, "ca", "crl"); o.code != 0 {
		t.Errorf("%+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard := &listener{until: "waiting for another", then: cancel}
	p := &program{stdout: heard, stderr: heard, now: func() time.Time { return due }, pause: time.Millisecond}
	if code := p.run(ctx, []string{"--config", f.dir, "ca", "renew", "--all"}); code != 1 || !strings.Contains(heard.String(), "interrupted") || len(f.certs(t)) != 2 {
		t.Errorf("%d, %s", code, heard)
	}
	if err := finish(); err != nil {
		t.Error(err)
	}
}

// A listener does something once it was told something.
type listener struct {
	strings.Builder
	until string
	then  func()
}

func (l *listener) Write(b []byte) (int, error) {
	if n, err := l.Builder.Write(b); err != nil {
		return n, err
	}
	if strings.Contains(l.String(), l.until) {
		l.then()
	}
	return len(b), nil
}
