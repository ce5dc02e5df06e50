package appraise_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Every entry is counted once, by what decides about it, and no failure is left out.
func TestI04_Survey(t *testing.T) {
	s := newSigner(t)
	violation := ima.NewFileEntry(pcr.SHA256, good, "/log")
	violation.Digest = make([]byte, 20)
	m := newMachine(t)
	m.Measure(three("ima-sig", bad, "/bin/new", s.sign(bad)), three("ima-sig", good, "/bin/a", nil), three("ima-sig", good, "/bin/a", s.sign(good)),
		three("ima-sig", bad, "/tmp/x", nil), three("ima-sig", bad, "/tmp/x", nil), three("ima-sig", bad, "/bin/a", nil),
		loaded("kexec-cmdline", bad), loaded("other", bad), violation)
	more := wire.MaxKeptFailures + 5
	for i := range more {
		m.Measure(three("ima-sig", bad, fmt.Sprint("/opt/", i), nil))
	}
	_, list := m.Evidence(0)
	p := allow(t, s.member()+fmt.Sprintf(`,"excludes":["/tmp/.*"],"ima":{"violations":"warn"},"ima-buf":{"kexec-cmdline":["%x"]}`, pcr.SHA256.Sum(bad)), "/bin/a")
	failures := map[wire.FailureID]int{}
	got, err := appraise.Survey(list, p, func(f wire.Failure) { failures[f.ID]++ })
	if err != nil {
		t.Fatal(err)
	}
	want := appraise.Counts{Entries: uint64(10 + more), Failed: uint64(2 + more), Listed: 2, Excluded: 2, Signed: 1, Buffers: 1, Aggregates: 1, Violations: 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[wire.FailureID]int{wire.IMANotInPolicy: 1 + more, wire.IMAWrongDigest: 1}, failures); d != "" {
		t.Error(d)
	}
	if _, err := appraise.Survey(list[:len(list)-1], p, func(wire.Failure) {}); !errors.Is(err, ima.ErrShort) {
		t.Errorf("a list that is cut: %v", err)
	}
	empty := 0
	if _, err := appraise.Survey(nil, p, func(wire.Failure) { empty++ }); err != nil || empty != 1 {
		t.Errorf("an empty list: %d failures, %v", empty, err)
	}
}
