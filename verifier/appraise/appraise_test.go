package appraise_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

var (
	good = pcr.SHA256.Sum([]byte("good"))
	bad  = pcr.SHA256.Sum([]byte("bad"))
)

// machine is an attester whose TPM lies only where a test makes it.
type machine struct {
	*verifiertest.Machine
	t testing.TB
}

func newMachine(t testing.TB) machine { return machine{verifiertest.New(t), t} }

// appraise takes the machine's evidence from an entry on, as a session does.
func (m machine) appraise(st appraise.Standing, first int, p *policy.Policy) (*appraise.Begun, appraise.Outcome) {
	m.t.Helper()
	ev, list := m.Evidence(first)
	return m.outcome(st, ev, list, p)
}

func (m machine) outcome(st appraise.Standing, ev wire.Evidence, list []byte, p *policy.Policy) (*appraise.Begun, appraise.Outcome) {
	m.t.Helper()
	b, err := appraise.Begin(st, verifiertest.Question(), ev)
	if err != nil {
		m.t.Fatal(err)
	}
	return b, outcome(b, list, p)
}

// outcome has the list arrive, and nothing of the appraisals before left over.
func outcome(b *appraise.Begun, list []byte, p *policy.Policy) appraise.Outcome {
	var fresh appraise.Appraisal
	var outcomes [2]appraise.Outcome
	for i, a := range []*appraise.Appraisal{&fresh, &again} {
		a.Begin(b, p)
		a.Write(list)
		outcomes[i] = a.Outcome(b)
	}
	if !reflect.DeepEqual(outcomes[0], outcomes[1]) {
		panic(fmt.Sprintf("a fresh appraisal gives\n%+v\none that was used\n%+v", outcomes[0], outcomes[1]))
	}
	return outcomes[0]
}

var again appraise.Appraisal

// after is the standing after an accepted outcome.
func after(st appraise.Standing, b *appraise.Begun, o appraise.Outcome) appraise.Standing {
	e := b.Epoch()
	r := o.Certified.Replayed()
	st.Epoch, st.Resume, st.Clock = &e, r.To(), b.Quote().Clock()
	return st
}

// allow is a policy of paths with the good digest, and more members.
func allow(t testing.TB, more string, paths ...string) *policy.Policy {
	t.Helper()
	digests := map[string][]string{}
	for _, p := range paths {
		digests[p] = []string{fmt.Sprintf("%x", good)}
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]any{"version": 1}, "digests": digests})
	if err != nil {
		t.Fatal(err)
	}
	if more != "" {
		text = append(bytes.TrimSuffix(text, []byte("}")), ","+more+"}"...)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ids(o appraise.Outcome) (all []wire.FailureID) {
	for _, f := range o.Result.Failures {
		all = append(all, f.ID)
	}
	return all
}

func want(t *testing.T, o appraise.Outcome, accepted bool, failures ...wire.FailureID) {
	t.Helper()
	if o.Accepted != accepted || !slices.Equal(ids(o), failures) {
		t.Errorf("accepted %v with %v, want %v with %v: %+v", o.Accepted, ids(o), accepted, failures, o.Result.Failures)
	}
}

func TestGoodListThenGrowth(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", good)
	p := allow(t, "", "/bin/a", "/bin/b")
	b, o := m.appraise(m.Standing(), 0, p)
	want(t, o, true)
	if !b.New() || o.Result.Entries != 2 || o.Result.Runtime != p.Digest() {
		t.Errorf("new %v, %+v", b.New(), o.Result)
	}
	st := after(m.Standing(), b, o)
	m.File("/bin/b", good)
	b, o = m.appraise(st, 2, p)
	want(t, o, true)
	if b.New() || o.Result.Entries != 1 {
		t.Errorf("new %v, %+v", b.New(), o.Result)
	}
}

func TestI24_FilesAgainstThePolicy(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", bad)
	m.File("/bin/new", bad)
	m.File("/tmp/x", bad)
	m.File("/bin/\xff\"\n", bad)
	_, o := m.appraise(m.Standing(), 0, allow(t, `"excludes":["^/tmp/.*"]`, "/bin/a"))
	want(t, o, true, wire.IMAWrongDigest, wire.IMANotInPolicy, wire.IMANotInPolicy)
	f := o.Result.Failures[0]
	if *f.Entry != 1 || f.Path != "/bin/a" || f.Got != fmt.Sprintf("sha256:%x", bad) || !slices.Equal(f.Expected, []string{fmt.Sprintf("sha256:%x", good)}) {
		t.Errorf("%+v", f)
	}
	if got := o.Result.Failures[2].Path; got != `"/bin/\xff\"\n"` {
		t.Errorf("I24: the strange path is shown as %s", got)
	}
}

func TestI21_NoPolicyIsNotEvaluated(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", bad)
	for name, p := range map[string]*policy.Policy{"none": nil, "an empty one": allow(t, "")} {
		_, o := m.appraise(m.Standing(), 0, p)
		want(t, o, true)
		if o.Result.Runtime != wire.NotEvaluated {
			t.Errorf("%s: %q", name, o.Result.Runtime)
		}
	}
}

func TestI18_ViolationNamesNoFile(t *testing.T) {
	m := newMachine(t)
	v := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "/bin/invented")
	v.Digest = make([]byte, 20)
	m.Measure(v)
	_, o := m.appraise(m.Standing(), 0, allow(t, "", "/bin/a"))
	want(t, o, true, wire.IMAViolation)
	if o.Result.Failures[0].Path != "" {
		t.Errorf("%+v", o.Result.Failures[0])
	}
	_, o = m.appraise(m.Standing(), 0, allow(t, `"ima":{"violations":"ignore"}`, "/bin/a"))
	want(t, o, true)
}

func TestI19_BootAggregate(t *testing.T) {
	p := allow(t, "", "/bin/a")
	for name, c := range map[string]struct {
		change func(machine)
		want   []wire.FailureID
	}{
		"of this boot":           {func(machine) {}, nil},
		"of another boot":        {func(m machine) { m.Boot = bytes.Repeat([]byte{6}, 32) }, []wire.FailureID{wire.IMABootAggregate}},
		"a second, of this boot": {func(m machine) { m.Measure(m.Aggregate()) }, nil},
		"a second, of another boot": {func(m machine) {
			m.Measure(ima.NewFileEntry(pcr.SHA256, bad, ima.BootAggregate))
		}, []wire.FailureID{wire.IMABootAggregate}},
		"in a bank that is not quoted": {func(m machine) {
			m.Measure(ima.NewFileEntry(pcr.SHA1, pcr.SHA1.Sum(nil), ima.BootAggregate))
		}, []wire.FailureID{wire.IMABootAggregate}},
		"after a violation": {func(m machine) {
			m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
			v := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
			v.Digest = make([]byte, 20)
			m.Measure(v, m.Aggregate())
		}, []wire.FailureID{wire.IMANotMeasuring, wire.IMAViolation}},
		"after a buffer": {func(m machine) {
			m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
			e := ima.NewFileEntry(pcr.SHA256, good, ima.BootAggregate)
			e.Template, e.Data = []byte("ima-buf"), buffer(e.Data)
			m.Measure(e, m.Aggregate())
		}, []wire.FailureID{wire.IMANotMeasuring, wire.IMANotInPolicy}},
		"after what cannot be read": {func(m machine) {
			m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
			m.Measure(ima.Entry{PCR: pcr.IMA, Digest: bytes.Repeat([]byte{1}, 20), Template: []byte("ima-ng")}, m.Aggregate())
		}, []wire.FailureID{wire.IMANotMeasuring, wire.IMANoValidator}},
		"absent": {func(m machine) {
			m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
			m.File("/bin/a", good)
		}, []wire.FailureID{wire.IMANotMeasuring}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.change(m)
			_, o := m.appraise(m.Standing(), 0, p)
			want(t, o, true, c.want...)
		})
	}
}

func TestI26_NothingMeasuredIsNotSuccess(t *testing.T) {
	m := newMachine(t)
	m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
	b, o := m.appraise(m.Standing(), 0, allow(t, "", "/bin/a"))
	want(t, o, true, wire.IMANotMeasuring)
	again := new(appraise.Appraisal)
	again.Begin(b, allow(t, "", "/bin/a"))
	for range 2 { // as where the standing moved meanwhile
		want(t, again.Outcome(b), true, wire.IMANotMeasuring)
	}
}

// I16: what comes after an outcome changes nothing of it.
func TestI16_NothingComesAfterAnOutcome(t *testing.T) {
	ten := evidenceOfTen(t)
	begun := ten.begin(t)
	ten.judge(t, begun)
	first := ten.appraisal.Outcome(begun)
	ten.appraisal.Write(bytes.Repeat(ten.list, 100))                              // more than a stream waits for
	if _, err := ima.Replay(begun.From(), ten.list, &ten.appraisal); err != nil { // shows it the entries
		t.Fatal(err)
	}
	if again := ten.appraisal.Outcome(begun); !reflect.DeepEqual(again, first) {
		t.Errorf("%+v, was %+v", again, first)
	}
}

func TestI26_BootAggregateAloneIsNotSuccess(t *testing.T) {
	m := newMachine(t)
	p := allow(t, "", "/bin/a")
	st := m.Standing()
	for _, expected := range [][]wire.FailureID{{wire.IMANotMeasuring}, nil} {
		b, o := m.appraise(st, int(st.Resume.Entries()), p)
		want(t, o, true)
		var ids []wire.FailureID
		for _, f := range o.Conditions {
			ids = append(ids, f.ID)
		}
		if !slices.Equal(expected, ids) {
			t.Errorf("after %d entries: %v, want %v", len(m.List), ids, expected)
		}
		st = after(st, b, o)
		m.File("/bin/a", good)
	}
	m = newMachine(t)
	if _, o := m.appraise(m.Standing(), 0, nil); o.Conditions != nil {
		t.Errorf("without a policy: %v", o.Conditions)
	}
}

func TestI16_I17_WhatNoDigestCovers(t *testing.T) {
	p := allow(t, "", "/bin/a")
	entry := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
	for name, c := range map[string]struct {
		change func(*ima.Entry)
		want   []wire.FailureID
	}{
		"nothing":                 {func(*ima.Entry) {}, nil},
		"another digest column":   {func(e *ima.Entry) { e.Digest = bytes.Repeat([]byte{1}, 20) }, nil},
		"named ima-sig":           {func(e *ima.Entry) { e.Template = []byte("ima-sig") }, []wire.FailureID{wire.IMANoValidator}},
		"named after no template": {func(e *ima.Entry) { e.Template = []byte("d|n") }, []wire.FailureID{wire.IMANoValidator}},
		"a buffer, named ima-ng":  {func(e *ima.Entry) { e.Data = buffer(e.Data) }, []wire.FailureID{wire.IMANoValidator}},
		"a name without end":      {func(e *ima.Entry) { e.Data = e.Data[:len(e.Data)-1]; e.Data[44]-- }, []wire.FailureID{wire.IMANoValidator}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			e := entry
			e.Data = bytes.Clone(entry.Data)
			c.change(&e)
			m.Measure(e)
			_, o := m.appraise(m.Standing(), 0, p)
			want(t, o, true, c.want...)
		})
	}
	m := newMachine(t)
	m.File("/bin/a", good)
	m.List[1].PCR = 11 // what was extended stays
	_, o := m.appraise(m.Standing(), 0, p)
	want(t, o, false, wire.IMAForeignPCR)
	m = newMachine(t)
	m.Measure(ima.Entry{PCR: 11, Digest: entry.Digest, Template: entry.Template, Data: entry.Data})
	_, o = m.appraise(m.Standing(), 0, p)
	want(t, o, false, wire.IMAForeignPCR)
}

// buffer makes a file's data a buffer event: a third field whose hash is the
// first.
func buffer(data []byte) []byte {
	third := []byte("good")
	return append(append(data, byte(len(third)), 0, 0, 0), third...)
}

func TestI16_ListThatDoesNotFitTheQuote(t *testing.T) {
	p := allow(t, "", "/bin/a", "/bin/b", "/bin/c")
	for name, change := range map[string]func(machine){
		"an entry missing":     func(m machine) { m.List = slices.Delete(m.List, 1, 2) },
		"an entry twice":       func(m machine) { m.List = slices.Insert(m.List, 1, m.List[1]) },
		"two exchanged":        func(m machine) { m.List[1], m.List[2] = m.List[2], m.List[1] },
		"one not extended":     func(m machine) { m.List = append(m.List, ima.NewFileEntry(pcr.SHA256, good, "/bin/c")) },
		"one renamed":          func(m machine) { m.List[1] = ima.NewFileEntry(pcr.SHA256, good, "/bin/c") },
		"one made a violation": func(m machine) { m.List[1].Digest = make([]byte, 20) },
		"nothing":              func(m machine) { m.List = nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.File("/bin/a", good)
			m.File("/bin/b", good)
			change(m)
			_, o := m.appraise(m.Standing(), 0, p)
			want(t, o, false, wire.IMAMismatch)
		})
	}
}

func TestMalformedList(t *testing.T) {
	m := newMachine(t)
	ev, list := m.Evidence(0)
	b, err := appraise.Begin(m.Standing(), verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	want(t, outcome(b, list[:len(list)-1], nil), false, wire.IMAMalformed)
}

func TestI14_Epochs(t *testing.T) {
	p := allow(t, "", "/bin/a")
	m := newMachine(t)
	m.File("/bin/a", good)
	b, o := m.appraise(m.Standing(), 0, p)
	st := after(m.Standing(), b, o)

	m.Reboot()
	ev, _ := m.Evidence(0)
	b, err := appraise.Begin(st, verifiertest.Question(), ev)
	if err != nil || !b.New() || b.Resync() {
		t.Fatalf("a reboot: new %v, resync %v, %v", b.New(), b.Resync(), err)
	}
	from := b.From()
	if from.Entries() != 0 {
		t.Errorf("the list of another boot goes on after entry %d", from.Entries())
	}
	b, o = m.appraise(st, 0, p)
	want(t, o, true)
	st = after(st, b, o)

	m.AK.Counters.Reset--
	_, o = m.appraise(st, 1, p)
	want(t, o, false, wire.EpochRollback)

	m.AK.Counters.Reset++
	_, o = m.appraise(st, 1, p)
	want(t, o, true)
	m.AK.Clock = 0
	_, o = m.appraise(st, 1, p)
	want(t, o, false, wire.EpochRollback)
}

func TestListFromAnotherPointIsAskedForAgain(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", good)
	b, o := m.appraise(m.Standing(), 0, nil)
	st := after(m.Standing(), b, o)
	for _, first := range []int{0, 1} {
		ev, _ := m.Evidence(first)
		b, err := appraise.Begin(st, verifiertest.Question(), ev)
		if err != nil || !b.Resync() {
			t.Errorf("from entry %d: resync %v, %v", first, b.Resync(), err)
		}
	}
}

func TestI07_I15_WhatProvesNothingIsRejected(t *testing.T) {
	m := newMachine(t)
	ev, _ := m.Evidence(0)
	stranger := newMachine(t).Standing()
	for name, c := range map[string]struct {
		standing appraise.Standing
		change   func(*appraise.Question, *wire.Evidence)
		want     wire.FailureID
	}{
		"another AK":            {stranger, func(*appraise.Question, *wire.Evidence) {}, wire.QuoteInvalid},
		"another connection":    {m.Standing(), func(q *appraise.Question, _ *wire.Evidence) { q.Exporter = bytes.Repeat([]byte{1}, 32) }, wire.QuoteInvalid},
		"a nonce that is spent": {m.Standing(), func(q *appraise.Question, _ *wire.Evidence) { q.Nonces = q.Nonces[:1] }, wire.QuoteStale},
		"no nonce at all":       {m.Standing(), func(q *appraise.Question, _ *wire.Evidence) { q.Nonces = nil }, wire.QuoteStale},
		"other PCRs": {m.Standing(), func(q *appraise.Question, _ *wire.Evidence) {
			q.Selection = pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 11)}}
		}, wire.QuotePCRs},
		"a bank whose boot is not quoted": {m.Standing(), func(q *appraise.Question, _ *wire.Evidence) { q.Bank = pcr.SHA1 }, wire.QuotePCRs},
		"other values": {m.Standing(), func(_ *appraise.Question, ev *wire.Evidence) {
			ev.PCRs = slices.Clone(ev.PCRs)
			ev.PCRs[10] = make([]byte, 32)
		}, wire.QuoteBadData},
	} {
		q, e := verifiertest.Question(), ev
		c.change(&q, &e)
		_, err := appraise.Begin(c.standing, q, e)
		var r *appraise.Rejection
		if !errors.As(err, &r) || r.ID != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestI04_WhatIsShownIsBounded(t *testing.T) {
	m := newMachine(t)
	long := ima.NewFileEntry(pcr.SHA256, bytes.Repeat([]byte{1}, 32), strings.Repeat("/\xff", 20_000))
	m.Measure(long)
	for i := range wire.MaxKeptFailures + 3 {
		m.File(fmt.Sprintf("/bin/%d", i), bad)
	}
	_, o := m.appraise(m.Standing(), 0, allow(t, "", "/bin/a"))
	if len(o.Result.Failures) != wire.MaxKeptFailures || o.Result.More != 4 {
		t.Errorf("%d failures and %d more", len(o.Result.Failures), o.Result.More)
	}
	if p := o.Result.Failures[0].Path; len(p) > 5*4096 || !strings.HasSuffix(p, "… (40000 bytes)") {
		t.Errorf("a path of %d bytes is shown", len(p))
	}
}

func TestI19_I21_Again(t *testing.T) {
	i, first := uint64(7), uint64(0)
	file := ima.NewFileEntry(pcr.SHA256, good, "/bin/a")
	aggregate := ima.NewFileEntry(pcr.SHA256, good, ima.BootAggregate)
	violation := file
	violation.Digest = make([]byte, 20)
	foreign := file
	foreign.PCR = 11
	for name, c := range map[string]struct {
		failure wire.Failure
		entry   ima.Entry
		policy  *policy.Policy
		want    bool
	}{
		"listed now":                  {wire.Failure{ID: wire.IMANotInPolicy, Entry: &i}, file, allow(t, "", "/bin/a"), true},
		"not listed":                  {wire.Failure{ID: wire.IMANotInPolicy, Entry: &i}, file, allow(t, "", "/bin/b"), false},
		"no policy":                   {wire.Failure{ID: wire.IMANotInPolicy, Entry: &i}, file, nil, false},
		"an empty policy":             {wire.Failure{ID: wire.IMANotInPolicy, Entry: &i}, file, allow(t, ""), false},
		"not about an entry":          {wire.Failure{ID: wire.IMAMismatch}, file, allow(t, "", "/bin/a"), false},
		"of another boot":             {wire.Failure{ID: wire.IMABootAggregate, Entry: &first}, aggregate, allow(t, "", "/bin/a"), false},
		"boot_aggregate listed now":   {wire.Failure{ID: wire.IMAWrongDigest, Entry: &first}, aggregate, allow(t, "", "boot_aggregate"), true},
		"boot_aggregate listed other": {wire.Failure{ID: wire.IMAWrongDigest, Entry: &first}, ima.NewFileEntry(pcr.SHA256, bad, ima.BootAggregate), allow(t, "", "boot_aggregate"), false},
		"not measuring":               {wire.Failure{ID: wire.IMANotMeasuring, Entry: &first}, file, allow(t, "", "/bin/a"), false},
		"another PCR":                 {wire.Failure{ID: wire.IMAForeignPCR, Entry: &i}, foreign, allow(t, "", "/bin/a"), false},
		"a violation":                 {wire.Failure{ID: wire.IMAViolation, Entry: &i}, violation, allow(t, "", "/bin/a"), false},
		"a violation, under no path":  {wire.Failure{ID: wire.IMAViolation, Entry: &i}, violation, allow(t, `"ima":{"violations":"ignore"}`), false},
		"a violation, ignored now":    {wire.Failure{ID: wire.IMAViolation, Entry: &i}, violation, allow(t, `"ima":{"violations":"ignore"}`, "/bin/a"), true},
	} {
		if got, _ := appraise.Again(c.failure, c.entry, c.policy); got != c.want {
			t.Errorf("%s: judged away: %v", name, got)
		}
	}
}

// I04: what one boot can make the verifier keep is bounded.
func TestI04_TheListOfABootIsBounded(t *testing.T) {
	m := newMachine(t)
	m.File("/bin/a", good)
	st := m.Standing()
	b, o := m.appraise(st, 0, allow(t, "", "/bin/a"))
	st = after(st, b, o)
	m.File("/bin/a", good)
	_, list := m.Evidence(2)
	st.Bytes = wire.MaxEpochList - uint64(len(list))
	_, o = m.appraise(st, 2, allow(t, "", "/bin/a"))
	want(t, o, true)
	st.Bytes++
	_, o = m.appraise(st, 2, allow(t, "", "/bin/a"))
	want(t, o, false, wire.IMATooLong)
}
