package appraise_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/severity"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// under is a standing under a severity policy.
func (m machine) under(t *testing.T, rules ...severity.Rule) appraise.Standing {
	t.Helper()
	s, err := severity.New(severity.DefaultLabels(), rules)
	if err != nil {
		t.Fatal(err)
	}
	st := m.Standing()
	st.Severity = s
	return st
}

// labels are the labels of failures, those that are tolerated in brackets.
func labels(failures []wire.Failure) (all []string) {
	for _, f := range failures {
		if f.Tolerated {
			f.Severity = "(" + f.Severity + ")"
		}
		all = append(all, f.Severity)
	}
	return all
}

func TestFailuresHaveLabels(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", bad)
	m.File("/bin/new", bad)
	p := allow(t, "", "/bin/a")
	_, o := m.appraise(m.under(t, severity.Rule{EventID: string(wire.IMANotInPolicy), Label: "error"}), 0, p)
	if d := cmp.Diff([]string{"emergency", "(error)"}, labels(o.Result.Failures)); d != "" {
		t.Error(d)
	}
	_, o = m.appraise(m.Standing(), 0, p)
	if d := cmp.Diff([]string{"emergency", "emergency"}, labels(o.Result.Failures)); d != "" {
		t.Errorf("without a configuration: %s", d)
	}
	m.PCR.Extend(ima.NewFileEntry(pcr.SHA256, bad, "/foreign"))
	_, o = m.appraise(m.under(t, severity.Rule{EventID: ".*", Label: "info"}), 0, p)
	want(t, o, false, wire.IMAMismatch)
	if d := cmp.Diff([]string{"(info)"}, labels(o.Result.Failures)); d != "" {
		t.Errorf("of the evidence: %s", d)
	}
}

// I26: that IMA is off is no matter of opinion.
func TestI19_I26_ASeverityPolicyTiesNoList(t *testing.T) {
	m := newMachine(t)
	st := m.under(t, severity.Rule{EventID: ".*", Label: "info"})
	m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
	_, o := m.appraise(st, 0, allow(t, "", "/bin/a"))
	if d := cmp.Diff([]string{"emergency"}, labels(o.Result.Failures)); d != "" {
		t.Errorf("an empty list: %s", d)
	}
	m.File("boot_aggregate", bad)
	_, o = m.appraise(st, 0, allow(t, "", "/bin/a"))
	want(t, o, true, wire.IMABootAggregate)
	if d := cmp.Diff([]string{"emergency"}, labels(o.Result.Failures)); d != "" {
		t.Errorf("a list of another boot: %s", d)
	}
}

// I18: what a policy wants to be warned of is a failure, and untrusts nobody.
func TestI18_ViolationsCanBeWarnedOf(t *testing.T) {
	m := newMachine(t)
	m.Measure(verifiertest.Violation("/bin/invented"))
	for more, wanted := range map[string][]string{
		"":                              {"emergency"},
		`"ima":{"violations":"fail"}`:   {"emergency"},
		`"ima":{"violations":"warn"}`:   {"(warning)"},
		`"ima":{"violations":"ignore"}`: nil,
	} {
		_, o := m.appraise(m.Standing(), 0, allow(t, more, "/bin/a"))
		if d := cmp.Diff(wanted, labels(o.Result.Failures)); d != "" {
			t.Errorf("%s: %s", more, d)
		}
	}
	_, o := m.appraise(m.under(t, severity.Rule{EventID: ".*", Label: "emergency"}), 0, allow(t, `"ima":{"violations":"warn"}`, "/bin/a"))
	if d := cmp.Diff([]string{"(warning)"}, labels(o.Result.Failures)); d != "" {
		t.Errorf("and an operator who labels violations: %s", d)
	}
}

func TestI18_APastViolationIsWarnedOf(t *testing.T) {
	i := uint64(5)
	f := wire.Failure{ID: wire.IMAViolation, Entry: &i}
	for more, want := range map[string][2]bool{
		"":                              {false, false},
		`"ima":{"violations":"warn"}`:   {false, true},
		`"ima":{"violations":"ignore"}`: {true, true},
	} {
		away, warned := appraise.Again(f, verifiertest.Violation("/x"), allow(t, more, "/bin/a"))
		if away != want[0] || !away && warned != want[1] {
			t.Errorf("%s: judged away %v, warned %v", more, away, warned)
		}
	}
	f.Warned = true
	if away, warned := appraise.Again(f, verifiertest.Violation("/x"), nil); away || !warned {
		t.Errorf("without a policy: judged away %v, warned %v", away, warned)
	}
}

// I07: any number of failures that are tolerated hides none that is not.
func TestI04_I07_WarningsHideNoFailure(t *testing.T) {
	m := newMachine(t)
	const flood = wire.MaxKeptFailures * 3
	for i := range flood {
		m.File(fmt.Sprintf("/new/%d", i), bad)
	}
	m.Measure(verifiertest.Violation("/x"))
	m.File("/bin/a", bad)
	st := m.under(t, severity.Rule{EventID: string(wire.IMANotInPolicy), Label: "error"})
	_, o := m.appraise(st, 0, allow(t, `"ima":{"violations":"warn"}`, "/bin/a"))
	r := o.Result
	if len(r.Failures) != wire.MaxKeptTolerated+2 || r.More != flood-wire.MaxKeptTolerated || r.MoreTolerated != r.More {
		t.Errorf("%d failures, %d more, of which %d are tolerated", len(r.Failures), r.More, r.MoreTolerated)
	}
	if d := cmp.Diff([]string{"(error)", "(warning)", "emergency"}, slices.Compact(labels(r.Failures))); d != "" {
		t.Error(d)
	}
	if last := *r.Failures[len(r.Failures)-1].Entry; o.Failed[last] == nil {
		t.Error("the failure that counts has not kept its entry")
	}
}

// I07: nor do their entries take the room of the others'.
func TestI07_WarnedEntriesTakeNoRoom(t *testing.T) {
	m := newMachine(t)
	for i := range wire.MaxKeptTolerated {
		m.File(fmt.Sprintf("/%d%s", i, strings.Repeat("x", 50_000)), bad)
	}
	m.Measure(verifiertest.Violation("/" + strings.Repeat("x", 50_000)))
	_, o := m.appraise(m.under(t, severity.Rule{EventID: string(wire.IMANotInPolicy), Label: "error"}), 0, allow(t, "", "/bin/a"))
	if len(o.Failed) >= wire.MaxKeptTolerated || o.Failed[uint64(len(m.List)-1)] == nil {
		t.Errorf("%d entries are kept, and the last is %v", len(o.Failed), o.Failed[uint64(len(m.List)-1)] != nil)
	}
}

// What a policy waits for is no failure of an entry, and over by itself.
func TestConditions(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", good)
	p := allow(t, verifiertest.DevicePolicy, "/bin/a")
	st := m.under(t, severity.Rule{EventID: `.*\.required_policy_not_in_use`, Label: "notice"})
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, []string{"(notice)"}},
		{m.DeviceLoads, []string{"emergency", "(notice)"}},
		{m.DeviceResumes, nil},
	} {
		step.do()
		b, o := m.appraise(st, int(st.Resume.Entries()), p)
		want(t, o, true)
		if d := cmp.Diff(step.want, labels(o.Conditions)); d != "" {
			t.Errorf("after %d entries: %s", len(m.List), d)
		}
		st = after(st, b, o)
		st.Learned = stored(t, o.Learned)
	}
	for name, p := range map[string]string{"no policy for devices": "", "and none for files": verifiertest.DevicePolicy} {
		m := newMachine(t)
		_, o := m.appraise(m.Standing(), 0, allow(t, p))
		if (o.Conditions == nil) != (p == "") {
			t.Errorf("%s: %v", name, o.Conditions)
		}
	}
}

// Offline there is no operator's label, and what a policy only warns of would fail
// nothing.
func TestSurveyOfWarnings(t *testing.T) {
	m := newMachine(t)
	m.Measure(verifiertest.Violation("/x"))
	m.File("/bin/a", bad)
	_, list := m.Evidence(0)
	for more, want := range map[string]uint64{"": 2, `"ima":{"violations":"warn"}`: 1} {
		var failures []wire.Failure
		counts, err := appraise.Survey(list, allow(t, more, "/bin/a"), func(f wire.Failure) { failures = append(failures, f) })
		if err != nil || counts.Failed != want || uint64(len(failures)) != want || failures[0].Severity != "" {
			t.Errorf("%s: %+v, %+v, %v", more, counts, failures, err)
		}
	}
}
