package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/severity"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// label configures the store: an id or an expression, and its label, and so on.
func label(t testing.TB, s *store.Store, rules ...string) {
	t.Helper()
	var all []severity.Rule
	for i := 0; i < len(rules); i += 2 {
		all = append(all, severity.Rule{EventID: rules[i], Label: rules[i+1]})
	}
	scale, err := severity.New(severity.DefaultLabels(), all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Label(t.Context(), scale); err != nil {
		t.Fatal(err)
	}
}

// sight is what an operator sees of failures and their weight.
type sight struct {
	Trust               wire.Trust
	Failures, Tolerated int
	Severity            string
	Listed              string // labels of the failures listed, those that are tolerated in brackets, each run as "N×label"
	Reason              wire.FailureID
}

func see(t testing.TB, s *store.Store, e store.Enrolment) sight {
	t.Helper()
	a := trust(t, s)
	failures, _, err := s.Failures(t.Context(), verifiertest.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := s.NewestFailure(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return sight{a.Trust, a.FailureCount, a.ToleratedCount, a.Severity, runs(failures), newest}
}

func runs(failures []wire.Failure) string {
	var all []string
	for n, i := 0, 0; i < len(failures); i++ {
		n++
		if i+1 < len(failures) && failures[i+1].Severity == failures[i].Severity {
			continue
		}
		name := failures[i].Severity
		if failures[i].Tolerated {
			name = "(" + name + ")"
		}
		all = append(all, fmt.Sprintf("%d×%s", n, name))
		n = 0
	}
	return strings.Join(all, " ")
}

func wantSight(t *testing.T, s *store.Store, e store.Enrolment, when string, want sight) {
	t.Helper()
	if d := cmp.Diff(want, see(t, s, e)); d != "" {
		t.Errorf("%s: %s", when, d)
	}
}

func TestI07_ToleratedFailures(t *testing.T) {
	s := newStore(t)
	label(t, s, string(wire.IMANotInPolicy), "error")
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	commit(t, s, m, e, p)
	wantSight(t, s, e, "nothing", sight{Trust: wire.Trusted})
	if a := trust(t, s); a.RaisedAt != nil {
		t.Errorf("raised at %v", a.RaisedAt)
	}
	m.File("/bin/b", bad)
	if st := commit(t, s, m, e, p); st.Failures != 0 {
		t.Errorf("the agent is told of %d failures", st.Failures)
	}
	wantSight(t, s, e, "one that is tolerated", sight{wire.Trusted, 1, 1, "error", "1×(error)", ""})
	raised := trust(t, s).RaisedAt
	if raised == nil {
		t.Error("that severity rose is not recorded")
	}
	m.File("/bin/a", bad)
	if st := commit(t, s, m, e, p); st.Failures != 1 || st.RaisedAt.Before(*raised) {
		t.Errorf("%+v", st)
	}
	wantSight(t, s, e, "one that counts", sight{wire.Untrusted, 2, 1, "emergency", "1×emergency 1×(error)", wire.IMAWrongDigest})
	if err := clearSeen(t, s, 2); err != nil {
		t.Fatal(err)
	}
	wantSight(t, s, e, "cleared", sight{Trust: wire.Trusted})
	if a := trust(t, s); a.Cleared.Count != 2 {
		t.Errorf("%+v", a.Cleared)
	}
}

// I07: evidence that is not accepted brings no trust, whatever its failure weighs.
func TestI07_ToleratedIsNotAccepted(t *testing.T) {
	s := newStore(t)
	label(t, s, ".*", "info")
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	commit(t, s, m, e, p)
	true10 := m.PCR
	m.PCR.Extend(ima.NewFileEntry(pcr.SHA256, bad, "/foreign"))
	st := standing(t, s, e)
	ev, list := m.Evidence(int(st.Resume.Entries()))
	b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fail(t.Context(), e, st, outcome(b, list, p).Result); err != nil {
		t.Fatal(err)
	}
	wantSight(t, s, e, "not accepted", sight{wire.Stale, 1, 1, "info", "1×(info)", ""})
	if _, err := s.Duplicate(t.Context(), e, standing(t, s, e), "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	wantSight(t, s, e, "a duplicate", sight{wire.Stale, 2, 2, "info", "2×(info)", ""})
	m.PCR = true10
	commit(t, s, m, e, p)
	wantSight(t, s, e, "accepted again", sight{wire.Trusted, 2, 2, "info", "2×(info)", ""})
}

// I07: however many failures are tolerated, of whatever label, they hide none that
// is not, nor are they hidden by lesser ones.
func TestI07_I14_AFloodOfWarningsHidesNothing(t *testing.T) {
	s := newStore(t)
	label(t, s, string(wire.IMANotInPolicy), "info", string(wire.IMAWrongDigest), "error")
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	flood := func() {
		for range wire.MaxKeptFailures {
			m.File(fmt.Sprintf("/new/%d", len(m.List)), bad)
		}
	}
	flood()
	commit(t, s, m, e, p)
	const n = wire.MaxKeptFailures
	wantSight(t, s, e, "a flood", sight{wire.Trusted, n, n, "info", "100×(info)", ""})
	flood()
	m.File("/bin/a", bad)
	commit(t, s, m, e, p)
	wantSight(t, s, e, "and a graver one", sight{wire.Trusted, 2*n + 1, 2*n + 1, "error", "1×(error) 100×(info)", ""})
	flood()
	m.Measure(verifiertest.Violation("/x"))
	commit(t, s, m, e, p)
	wantSight(t, s, e, "and one that counts", sight{wire.Untrusted, 3*n + 2, 3*n + 1, "emergency", "1×emergency 1×(error) 100×(info)", wire.IMAViolation})
	m.Reboot()
	m.File("/bin/a", good)
	commit(t, s, m, e, p)
	wantSight(t, s, e, "after a reboot", sight{wire.Untrusted, 3*n + 2, 3*n + 1, "emergency", "1×emergency 1×(error) 100×(info)", wire.IMAViolation})
	if err := clearSeen(t, s, 3*n+2); err != nil {
		t.Fatal(err)
	}
	wantSight(t, s, e, "cleared", sight{Trust: wire.Trusted})
}

// The same of several evidences, each with less than is kept.
func TestI07_UnkeptFailuresCountOnDisk(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	for range 2 {
		for range wire.MaxKeptFailures - 1 {
			m.File("/bin/a", bad)
		}
		commit(t, s, m, e, p)
	}
	const n = wire.MaxKeptFailures
	if err := clearSeen(t, s, 2*n-2); err != nil {
		t.Fatal(err)
	}
	if got := see(t, s, e); got.Trust == wire.Trusted || got.Failures != n-2 || got.Tolerated != 0 || got.Severity != "emergency" {
		t.Errorf("%+v", got)
	}
}

// What counts and is not kept is known to count.
func TestI07_UnkeptFailuresCount(t *testing.T) {
	s := newStore(t)
	label(t, s, string(wire.IMANotInPolicy), "info")
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	for range wire.MaxKeptFailures + 5 {
		m.File("/bin/a", bad)
	}
	m.File("/new", bad)
	commit(t, s, m, e, p)
	const n = wire.MaxKeptFailures
	wantSight(t, s, e, "more than are kept", sight{wire.Untrusted, n + 6, 1, "emergency", "1000×emergency", wire.IMAWrongDigest})
	m.Reboot()
	m.File("/bin/a", good)
	commit(t, s, m, e, p)
	if err := clearSeen(t, s, n+6); err != nil {
		t.Fatal(err)
	}
	wantSight(t, s, e, "what was listed is cleared", sight{wire.Trusted, 1, 1, "info", "1×(info)", ""})
}

// Another configuration labels what stands anew.
func TestI22_Relabelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/a", bad)
	m.File("/new", bad)
	commit(t, s, m, e, p)
	wantSight(t, s, e, "by default", sight{wire.Untrusted, 2, 0, "emergency", "2×emergency", wire.IMANotInPolicy})
	before := standing(t, s, e)
	label(t, s, string(wire.IMANotInPolicy), "info", string(wire.IMAWrongDigest), "error")
	wantSight(t, s, e, "tolerated", sight{wire.Trusted, 2, 2, "error", "1×(error) 1×(info)", ""})
	after := standing(t, s, e)
	if after.Revision <= before.Revision || !after.RaisedAt.Equal(before.RaisedAt) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	label(t, s, string(wire.IMANotInPolicy), "info", string(wire.IMAWrongDigest), "error")
	if again := standing(t, s, e); again.Revision != after.Revision {
		t.Error("the same configuration labels again")
	}
	label(t, s)
	wantSight(t, s, e, "counting again", sight{wire.Untrusted, 2, 0, "emergency", "2×emergency", wire.IMANotInPolicy})
}

// I07: of what was only counted nobody knows what it was, so it counts under
// another configuration, until the list is judged again.
func TestI07_RelabelledUnseen(t *testing.T) {
	s := newStore(t)
	label(t, s, ".*", "info")
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	flood := func() {
		for i := range wire.MaxKeptTolerated + 3 {
			m.File(fmt.Sprintf("/new/%d", i), bad)
		}
		commit(t, s, m, e, p)
	}
	flood()
	m.Reboot()
	flood()
	const n = wire.MaxKeptTolerated
	wantSight(t, s, e, "two boots", sight{wire.Trusted, 2*n + 6, 2*n + 6, "info", "200×(info)", ""})
	label(t, s, ".*", "error")
	wantSight(t, s, e, "relabelled", sight{wire.Untrusted, 2*n + 6, 2 * n, "emergency", "200×(error)", ""})
	if all, err := s.Unjudged(t.Context()); err != nil || len(all) != 1 {
		t.Fatalf("to be judged again: %v, %v", all, err)
	}
	rejudge(t, s, m, e, p)
	wantSight(t, s, e, "judged again", sight{wire.Untrusted, 2*n + 6, 2*n + 3, "emergency", "200×(error)", ""})
}

// rejudge judges the epoch again by a policy that is in force.
func rejudge(t *testing.T, s *store.Store, m *verifiertest.Machine, e store.Enrolment, p *policy.Policy) {
	t.Helper()
	st := standing(t, s, e)
	fresh := m.Standing()
	fresh.Severity = s.Severity()
	o := again(t, s, e, st, fresh, p)
	r := store.Rejudged{Result: o.Result, Learned: o.Learned, Failed: o.Failed, Conditions: o.Conditions}
	past, err := s.PastFailures(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range past {
		if away, warned := appraise.Again(f.Failure, f.Entry, p); away {
			r.Past = append(r.Past, f.Seq)
		} else if warned != f.Failure.Warned {
			f.Failure.Warned = warned
			r.Changed = append(r.Changed, f)
		}
	}
	if _, err := s.Rejudge(t.Context(), e, st, r); err != nil {
		t.Fatal(err)
	}
}

// What a policy warns of counts again under one that does not, in this boot and of
// an earlier one, and no severity policy makes it count.
func TestI18_WarningsAreJudgedAgain(t *testing.T) {
	s := newStore(t)
	label(t, s, ".*", "emergency")
	m := verifiertest.New(t)
	put := func(more string) *policy.Policy {
		t.Helper()
		r, p := policyWith(t, "web", more, "/bin/a")
		if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return p
	}
	addPolicy(t, s, "web", "/bin/a")
	p := put(`"ima":{"violations":"warn"}`)
	e := enrol(t, s, m, "web")
	m.Measure(verifiertest.Violation("/x"))
	commit(t, s, m, e, p)
	m.Reboot()
	m.Measure(verifiertest.Violation("/x"))
	commit(t, s, m, e, p)
	wantSight(t, s, e, "warned of", sight{wire.Trusted, 2, 2, "warning", "2×(warning)", ""})
	label(t, s, ".*", "alert")
	wantSight(t, s, e, "relabelled", sight{wire.Trusted, 2, 2, "warning", "2×(warning)", ""})
	label(t, s)
	rejudge(t, s, m, e, put(""))
	wantSight(t, s, e, "by a stricter policy", sight{wire.Untrusted, 2, 0, "emergency", "2×emergency", wire.IMAViolation})
	rejudge(t, s, m, e, put(`"ima":{"violations":"warn"}`))
	wantSight(t, s, e, "by the first again", sight{wire.Trusted, 2, 2, "warning", "2×(warning)", ""})
	rejudge(t, s, m, e, put(`"ima":{"violations":"ignore"}`))
	wantSight(t, s, e, "ignored", sight{Trust: wire.Trusted})
}

// Conditions are of the moment: they end by themselves, and nobody clears them.
func TestI07_I10_Conditions(t *testing.T) {
	d := newDamaged(t)
	s := d.Store
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	r, p := policyWith(t, "web", verifiertest.DevicePolicy, "/bin/a")
	if err := s.RuntimePolicies.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	e := enrol(t, s, m, "web")
	want := func(when string, trusted wire.Trust, conditions ...wire.FailureID) {
		t.Helper()
		all, err := s.Conditions(t.Context(), verifiertest.AgentID)
		if err != nil {
			t.Fatal(err)
		}
		var ids []wire.FailureID
		for _, c := range all {
			ids = append(ids, c.ID)
		}
		if a := trust(t, s); a.Trust != trusted || a.FailureCount != 0 || cmp.Diff(conditions, ids) != "" || (a.Severity != "") != (ids != nil) {
			t.Errorf("%s: %s for %v, severity %q, %d failures, waiting for %v", when, a.Trust, a.Reason, a.Severity, a.FailureCount, ids)
		}
	}
	const missing, invalid wire.FailureID = "ima.validation.dm.required_policy_not_in_use", "ima.validation.dm.device_invalid_state"
	want("before any evidence", wire.Pending)
	if st := commit(t, s, m, e, p); st.Failures != 1 {
		t.Errorf("the agent is told of %d", st.Failures)
	}
	want("no device", wire.Untrusted, missing)
	if got, err := s.NewestFailure(t.Context(), e); err != nil || got != missing {
		t.Errorf("the agent is told of %s, %v", got, err)
	}
	if err := clearSeen(t, s, 0); err != nil {
		t.Fatal(err)
	}
	want("cleared", wire.Untrusted, missing)
	m.DeviceLoads()
	commit(t, s, m, e, p)
	want("a device without a table in use", wire.Untrusted, invalid, missing)
	d.exec(`UPDATE condition SET body = x'00' WHERE number = 0`)
	want("a record that cannot be read", wire.Untrusted, wire.RecordUnreadable, missing)
	rejudge(t, s, m, e, p)
	want("judged again", wire.Untrusted, invalid, missing)
	label(t, s, `ima\.validation\.dm\..*`, "notice")
	want("tolerated", wire.Trusted, invalid, missing)
	label(t, s)
	want("and not", wire.Untrusted, invalid, missing)
	m.DeviceResumes()
	commit(t, s, m, e, p)
	want("in use", wire.Trusted)
	m.Reboot()
	m.File("/bin/a", good)
	commit(t, s, m, e, p)
	want("after a reboot", wire.Untrusted, missing)
	r, p = policyOf(t, "web", "/bin/a")
	if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	rejudge(t, s, m, e, p)
	want("without a policy for devices", wire.Trusted)
}
