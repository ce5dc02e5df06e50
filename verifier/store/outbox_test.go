package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm/softtpm"
)

// everywhere routes all events to agents and to one webhook.
var everywhere = store.Routing{Notices: wire.EventKinds, Webhooks: map[string][]wire.EventKind{"siem": wire.EventKinds}}

// told reads the events after a sequence number, as "kind was>trust failure".
func told(t testing.TB, s *store.Store, after *int64) (lines []string) {
	t.Helper()
	all, last, err := s.Events(t.Context(), *after, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s>%s %s", e.Kind, e.Was, e.Trust, e.FailureID())))
	}
	*after = last
	return lines
}

// outdate commits evidence whose trust has run out.
func outdate(t *testing.T, d damaged) {
	t.Helper()
	d.exec(`UPDATE state SET trusted_until = trusted_until - 3600000`)
	d.exec(`DELETE FROM changed`) // that it does is not how time passes
	d.exec(`UPDATE told SET until = until - 3600000`)
}

// Every way in which trust changes makes one event, and what changes no trust none.
func TestI07_EachChangeOfTrustIsOneEvent(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	var e store.Enrolment
	reboot := func() { m.Reboot(); m.File("/bin/a", good) }
	web, none := "web", ""
	rejudgeBy := func(paths ...string) func() {
		return func() {
			r, compiled := policyOf(t, "web", paths...)
			if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			p = compiled
			rejudge(t, s, m, e, compiled)
		}
	}
	assign := func(policy string) func() {
		return func() {
			if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &policy}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fail := func() {
		r := wire.Result{}
		r.Fail(wire.Failure{ID: wire.IMAMismatch, Message: "x"})
		if _, err := s.Fail(t.Context(), e, standing(t, s, e), r); err != nil {
			t.Fatal(err)
		}
	}
	clear := func() {
		if err := clearSeen(t, s, trust(t, s).FailureCount); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func() {
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	attested := func() { commit(t, s, m, e, p) }
	rebind := func() {
		other := softtpm.NewTransport(t)
		_, err := s.Rebind(t.Context(), rest.Enrolment{ID: verifiertest.AgentID, Label: "box", EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(),
			Transport: other.Public.Bytes(), LowestBank: pcr.SHA256, Policy: "web"})
		if err != nil {
			t.Fatal(err)
		}
		e = bySPKI(t, s, other)
		reboot()
	}
	remove := func() {
		if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
			t.Fatal(err)
		}
	}
	var seen int64
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"enrolled", func() { e = enrol(t, s, m, "web") }, nil},
		{"trusted for the first time", attested, nil},
		{"still", attested, nil},
		{"rejected evidence", func() { s.Reject(t.Context(), e, wire.QuoteInvalid, "x") }, nil},
		{"a bad file", func() { m.File("/bin/b", good); attested() }, []string{"lost trusted>untrusted " + string(wire.IMANotInPolicy)}},
		{"another", func() { m.File("/bin/c", good); attested() }, nil},
		{"cleared", clear, []string{"regained untrusted>trusted"}},
		{"failed", fail, []string{"lost trusted>untrusted " + string(wire.IMAMismatch)}},
		{"cleared, and waits for evidence", clear, nil},
		{"evidence", attested, []string{"regained stale>trusted"}},
		{"a policy of which all that runs was cleared", rejudgeBy("/bin/a"), nil},
		{"a file under it", func() { m.File("/bin/d", good); attested() }, []string{"lost trusted>untrusted " + string(wire.IMANotInPolicy)}},
		{"judged away", rejudgeBy("/bin/a", "/bin/b", "/bin/c", "/bin/d"), []string{"regained untrusted>trusted"}},
		{"judged by less", rejudgeBy("/bin/b"), []string{"lost trusted>untrusted " + string(wire.IMANotInPolicy)}},
		{"judged by more", rejudgeBy("/bin/a", "/bin/b", "/bin/c", "/bin/d"), []string{"regained untrusted>trusted"}},
		{"no policy yet to be judged by", assign(none), nil},
		{"judged by none", func() { rejudge(t, s, m, e, nil) }, []string{"lost trusted>not evaluated"}},
		{"judged again", func() { assign(web)(); rejudge(t, s, m, e, p) }, []string{"regained not evaluated>trusted"}},
		{"time, and nobody looked", func() { outdate(t, d) }, nil},
		{"somebody looks", sweep, []string{"stale trusted>stale"}},
		{"again", sweep, nil},
		{"evidence", attested, []string{"regained stale>trusted"}},
		{"a sweep that finds nothing", sweep, nil},
		{"rebound", rebind, []string{"removed trusted>removed"}},
		{"attested with other keys", attested, []string{"regained pending>trusted"}},
		{"deleted", remove, []string{"removed trusted>removed"}},
		{"enrolled again", func() { reboot(); e = enrol(t, s, m, "web") }, nil},
		{"attested", attested, []string{"regained removed>trusted"}},
		{"lost", fail, []string{"lost trusted>untrusted " + string(wire.IMAMismatch)}},
		{"deleted while untrusted", remove, nil},
	} {
		step.do()
		if diff := cmp.Diff(step.want, told(t, s, &seen)); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

// What a policy waits for takes trust away and gives it back, with one event each; of a
// machine that nobody took for trusted it is none, and hides no failure. A label that
// tolerates it makes it no loss.
func TestI07_ConditionsAreEventsOfTrustThatThereWas(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	r, p := policyWith(t, "web", verifiertest.DevicePolicy, "/bin/a")
	if err := s.RuntimePolicies.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var e store.Enrolment
	attested := func() { commit(t, s, m, e, p) }
	rebooted := func() { m.Reboot(); m.File("/bin/a", good); attested() }
	up := func() { m.DeviceLoads(); m.DeviceResumes(); attested() }
	clear := func() {
		if err := clearSeen(t, s, trust(t, s).FailureCount); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func() {
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() {
		if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
			t.Fatal(err)
		}
	}
	const waits, bad = " ima.validation.dm.required_policy_not_in_use", " " + string(wire.IMANotInPolicy)
	var seen int64
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"enrolled, and waits", func() { e = enrol(t, s, m, "web"); attested() }, nil},
		{"trusted for the first time", up, nil},
		{"waits after a reboot", rebooted, []string{"lost trusted>untrusted" + waits}},
		{"still", attested, nil},
		{"a sweep that finds nothing", sweep, nil},
		{"waits for another thing as well", func() { m.DeviceLoads(); attested() }, nil},
		{"over", func() { m.DeviceResumes(); attested() }, []string{"regained untrusted>trusted"}},
		{"and still", attested, nil},
		{"waits", rebooted, []string{"lost trusted>untrusted" + waits}},
		{"a bad file meanwhile", func() { m.File("/bin/b", good); attested() }, nil},
		{"over, and the file stands", up, nil},
		{"cleared", clear, []string{"regained untrusted>trusted"}},
		{"time", func() { outdate(t, d); sweep() }, []string{"stale trusted>stale"}},
		{"comes back, and waits", rebooted, []string{"lost stale>untrusted" + waits}},
		{"over again", up, []string{"regained untrusted>trusted"}},
		{"deleted", remove, []string{"removed trusted>removed"}},
		{"enrolled again, and waits", func() { m.Reboot(); m.File("/bin/a", good); e = enrol(t, s, m, "web"); attested() }, nil},
		{"a bad file of one that waits", func() { m.File("/bin/b", good); attested() }, []string{"lost removed>untrusted" + bad}},
		{"over and cleared", func() { up(); clear() }, []string{"regained untrusted>trusted"}},
		{"tolerated", func() { label(t, s, `ima\.validation\.dm\..*`, "notice") }, nil},
		{"waits, which is tolerated", rebooted, []string{"raised trusted>trusted" + waits}},
		{"still tolerated", attested, nil},
		{"what was tolerated is over", up, nil},
	} {
		step.do()
		if diff := cmp.Diff(step.want, told(t, s, &seen)); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

// An event says what it is about.
func TestEventSaysWhatItIsAbout(t *testing.T) {
	s := newStore(t)
	s.Route(everywhere)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	if err := s.Establish(t.Context(), e, 1, "192.0.2.7:4433"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, m, e, p)
	m.File("/bin/b", bad)
	st := commit(t, s, m, e, p)
	all, last, err := s.Events(t.Context(), 0, 10)
	if err != nil || len(all) != 1 || last != all[0].Sequence {
		t.Fatalf("%+v, %d, %v", all, last, err)
	}
	got := all[0]
	if len(got.ID) != 32 || got.At.IsZero() || got.Failure.Path != "/bin/b" {
		t.Errorf("%+v", got)
	}
	entry := uint64(2)
	want := rest.Event{Sequence: 1, ID: got.ID, Kind: wire.EventLost, Agent: verifiertest.AgentID, Label: "box", Epoch: fmt.Sprintf("%x", st.EpochID),
		Was: wire.Trusted, Trust: wire.Untrusted, Severity: "emergency", Peer: "192.0.2.7:4433", At: got.At, Notice: 1,
		Failure: &wire.Failure{ID: wire.IMANotInPolicy, Message: got.Failure.Message, Entry: &entry, Path: "/bin/b", Got: got.Failure.Got, Hint: got.Failure.Hint, Severity: "emergency"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wire.Failure{})); diff != "" {
		t.Error(diff)
	}
}

// A failure that is tolerated raises the severity once, which is an event of its own.
func TestRaisedSeverityIsAnEvent(t *testing.T) {
	s := newStore(t)
	label(t, s, string(wire.IMANotInPolicy), "warning", string(wire.IMAWrongDigest), "critical")
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	commit(t, s, m, e, p)
	var seen int64
	for _, step := range []struct {
		path string
		want []string
	}{
		{"/bin/b", []string{"raised trusted>trusted " + string(wire.IMANotInPolicy)}},
		{"/bin/c", nil},
		{"/bin/a", []string{"raised trusted>trusted " + string(wire.IMAWrongDigest)}},
	} {
		m.File(step.path, bad)
		commit(t, s, m, e, p)
		if diff := cmp.Diff(step.want, told(t, s, &seen)); diff != "" {
			t.Errorf("%s: %s", step.path, diff)
		}
	}
}

// The event is of the same transaction: where the write fails there is none, and
// where the event fails nothing was written.
func TestI07_EventAndStateAreOneWrite(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	commit(t, s, m, e, p)
	before := trust(t, s)
	d.exec(`CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'no room'); END`)
	m.File("/bin/b", bad)
	st := standing(t, s, e)
	if _, err := s.Commit(t.Context(), e, st, attest(t, s, m, st, p)); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Fatalf("committed without an event: %v", err)
	}
	if diff := cmp.Diff(before, trust(t, s)); diff != "" {
		t.Error(diff)
	}
	d.exec(`DROP TRIGGER full`)
	commit(t, s, m, e, p)
	var seen int64
	if got := told(t, s, &seen); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// The numbers of notices have no gap, whatever other events there are, and none is
// given twice.
func TestI28_NoticesAreNumberedWithoutGaps(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	s.Route(store.Routing{Notices: []wire.EventKind{wire.EventLost}})
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	commit(t, s, m, e, p)
	lose := func(path string) {
		m.File(path, bad)
		commit(t, s, m, e, p)
		if err := clearSeen(t, s, trust(t, s).FailureCount); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		lose(fmt.Sprint("/bad/", i))
	}
	d.exec(`DELETE FROM event`)
	lose("/bad/3")
	all, err := s.Notices(t.Context(), 0, 10)
	if last, lerr := s.LastNotice(t.Context()); err != nil || lerr != nil || len(all) != 1 || all[0].Notice != 4 || all[0].Sequence != 7 || last != 4 {
		t.Errorf("%+v, %d, %v, %v", all, last, err, lerr)
	}
}

// lostOnce makes a store with one event on its way to "siem".
func lostOnce(t *testing.T, path string) *store.Store {
	t.Helper()
	s := storetest.Open(t, path, everywhere)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	return s
}

// Two verifiers on one database claim a delivery once, and who dies with one leaves
// it to the other.
func TestI22_DeliveryIsClaimedByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	stores := []*store.Store{lostOnce(t, path), storetest.Open(t, path, everywhere)}
	var mu sync.Mutex
	var claimed int
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, _, found, err := stores[i%2].Claim(t.Context(), "siem", time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if found {
				claimed++
			}
		})
	}
	all.Wait()
	if claimed != 1 {
		t.Errorf("claimed %d times", claimed)
	}
}

func TestClaimThatNobodyEndsIsDueAgain(t *testing.T) {
	s := lostOnce(t, filepath.Join(t.TempDir(), "verifier.db"))
	first, _, found, err := s.Claim(t.Context(), "siem", 0)
	if err != nil || !found || first.Tries != 0 {
		t.Fatalf("%+v, %v, %v", first, found, err)
	}
	again, _, found, err := s.Claim(t.Context(), "siem", time.Minute)
	if err != nil || !found || again.Tries != 1 || again.Event.ID != first.Event.ID {
		t.Fatalf("%+v, %v, %v", again, found, err)
	}
	if err := s.Delivered(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if _, next, found, err := s.Claim(t.Context(), "siem", 0); err != nil || found || !next.IsZero() {
		t.Errorf("%v, %v, %v", next, found, err)
	}
}

func TestDeadLetters(t *testing.T) {
	s := lostOnce(t, filepath.Join(t.TempDir(), "verifier.db"))
	die := func() store.Delivery {
		t.Helper()
		d, _, found, err := s.Claim(t.Context(), "siem", time.Minute)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if err := s.Failed(t.Context(), d, "it hangs", time.Hour, true); err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := die()
	if _, next, found, err := s.Claim(t.Context(), "siem", 0); err != nil || found || !next.IsZero() {
		t.Errorf("a dead letter is sent: %v, %v, %v", next, found, err)
	}
	l, err := s.DeadLetters(t.Context())
	if err != nil || len(l.DeadLetters) != 1 || l.DeadLetters[0].Problem != "it hangs" || l.DeadLetters[0].Tries != 1 || l.DeadLetters[0].Event.ID != d.Event.ID {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, q := range []rest.DeadLetterRequest{{Webhook: "other"}, {Event: "none"}} {
		if n, err := s.RetryDeadLetters(t.Context(), q); n != 0 || err != nil {
			t.Errorf("%+v: %d, %v", q, n, err)
		}
	}
	if n, err := s.RetryDeadLetters(t.Context(), rest.DeadLetterRequest{Webhook: "siem", Event: d.Event.ID}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if die().Tries != 0 {
		t.Error("it is not tried as if for the first time")
	}
	if n, err := s.DropDeadLetters(t.Context(), rest.DeadLetterRequest{}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if l, err := s.DeadLetters(t.Context()); err != nil || len(l.DeadLetters) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

// A webhook that is taken out of the configuration leaves dead letters, which say so.
func TestDeliveriesWithoutAWebhookAreGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := lostOnce(t, path)
	if n, err := s.Abandon(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
	without := open(t, path)
	if n, err := without.Abandon(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := without.RetryDeadLetters(t.Context(), rest.DeadLetterRequest{}); n != 0 || err != nil {
		t.Errorf("%d that nobody would send are waiting, %v", n, err)
	}
	if l, err := s.DeadLetters(t.Context()); err != nil || len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Problem, "not configured") {
		t.Errorf("%+v, %v", l, err)
	}
}

// Whoever waits is woken by an event, and not by what is none.
func TestHappened(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	happened, leave := s.Happened()
	defer leave()
	commit(t, s, m, e, p)
	select {
	case <-happened:
		t.Error("woken without an event")
	default:
	}
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	select {
	case <-happened:
	default:
		t.Error("not woken before the commit returned")
	}
}

// A delivery has the TPM policy that the agent has when it is tried, and none of an
// agent that is not enrolled any more.
func TestDeliveryHasTheTPMPolicy(t *testing.T) {
	s := lostOnce(t, filepath.Join(t.TempDir(), "verifier.db"))
	claimed := func() string {
		t.Helper()
		d, _, found, err := s.Claim(t.Context(), "siem", 0)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return d.TPMPolicy
	}
	if got := claimed(); got != "" {
		t.Errorf("%q", got)
	}
	text := rest.Text(`{"22": ["` + strings.Repeat("0", 64) + `"], "mask": "0x400000"}`)
	if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{TPMPolicy: &text}); err != nil {
		t.Fatal(err)
	}
	if got := claimed(); got != string(text) {
		t.Errorf("%q", got)
	}
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if got := claimed(); got != "" {
		t.Errorf("%q", got)
	}
}
