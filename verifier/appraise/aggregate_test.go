package appraise_test

import (
	"bytes"
	"slices"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
)

// alone replaces the machine's list by one that begins with e.
func (m machine) alone(e ima.Entry) {
	m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
	m.Measure(e)
}

// I19: a kernel whose boot_aggregate is by SHA-1 leaves PCRs 8 and 9 out of it.
func TestI19_BootAggregateBySHA1(t *testing.T) {
	one, other := bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 20)
	for name, c := range map[string]struct {
		covered [][]byte
		want    []wire.FailureID
	}{
		"PCRs 0 to 7":        {slices.Repeat([][]byte{one}, 8), nil},
		"PCRs 0 to 9":        {append(slices.Repeat([][]byte{one}, 8), other, other), []wire.FailureID{wire.IMABootAggregate}},
		"PCRs of other boot": {slices.Repeat([][]byte{other}, 8), []wire.FailureID{wire.IMABootAggregate}},
	} {
		m := newMachine(t)
		m.alone(ima.NewFileEntry(pcr.SHA1, pcr.SHA1.Sum(c.covered...), ima.BootAggregate))
		o := m.quotedToo(pcr.BankSet{Bank: pcr.SHA1, PCRs: pcr.Range(0, 9)}, append(slices.Repeat([][]byte{one}, 8), other, other), allow(t, "", "/bin/a"))
		if !slices.Equal(ids(o), c.want) {
			t.Errorf("%s: %+v", name, o.Result.Failures)
		}
	}
}

// quotedToo appraises the machine's whole list under a quote that covers PCRs of a
// second bank.
func (m machine) quotedToo(set pcr.BankSet, values [][]byte, p *policy.Policy) appraise.Outcome {
	m.t.Helper()
	q := verifiertest.Question()
	q.Selection = append(slices.Clone(q.Selection), set)
	ev, list := m.Evidence(0)
	ev.PCRs = append(ev.PCRs, values...)
	v, err := pcr.NewValues(q.Selection, ev.PCRs)
	if err != nil {
		m.t.Fatal(err)
	}
	ev.Envelope, err = envelope.Seal(envelope.Payload{Nonce: m.Nonce, AgentID: m.AgentID, Trigger: m.Trigger}, m.AK.Public, m.Exporter, m.AK.Quoter(v))
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := appraise.Begin(m.Standing(), q, ev)
	if err != nil {
		m.t.Fatal(err)
	}
	return outcome(b, list, p)
}

// I18, I19: a violation that says it is boot_aggregate ties the list to nothing.
func TestI18_I19_ViolationIsNoBootAggregate(t *testing.T) {
	m := newMachine(t)
	e := m.Aggregate()
	e.Digest = make([]byte, 20)
	m.alone(e)
	_, o := m.appraise(m.Standing(), 0, allow(t, `"ima":{"violations":"ignore"}`, "/bin/a"))
	want(t, o, true, wire.IMANotMeasuring)
}

// I19, I26: clearing leaves out what failed of entries, and not that the list is
// of no boot, or of another one.
func TestI19_I26_ClearedEntries(t *testing.T) {
	p := allow(t, "", "/bin/a")
	m := newMachine(t)
	m.Boot = bytes.Repeat([]byte{6}, 32)
	m.File("/bin/b", bad)
	m.File("/bin/c", bad)
	st := m.Standing()
	st.Cleared = map[appraise.Finding]bool{{Entry: 0, ID: wire.IMANotInPolicy}: true, {Entry: 1, ID: wire.IMANotInPolicy}: true, {Entry: 2, ID: wire.IMAWrongDigest}: true}
	_, o := m.appraise(st, 0, p)
	want(t, o, true, wire.IMABootAggregate, wire.IMANotInPolicy)
	m.alone(ima.NewFileEntry(pcr.SHA256, bad, "/bin/b"))
	_, o = m.appraise(st, 0, p)
	want(t, o, true, wire.IMANotMeasuring)
}
