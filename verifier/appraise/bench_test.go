package appraise_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quicklime/ima/chain"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
)

// BenchmarkEvidence appraises evidence with ten new entries under a policy in
// turn with the one signature check that it needs, and prints how many of each
// one core does in a second and how near the one comes to the other (%-of-bare).
func BenchmarkEvidence(b *testing.B) {
	ten, verify := evidenceOfTen(b), signature(b)
	const round = 50
	b.ReportAllocs()
	var bare, whole time.Duration
	for b.Loop() {
		bare += spent(func() { repeat(round, verify) })
		whole += spent(func() { repeat(round, func() { ten.judge(b, ten.begin(b)) }) })
	}
	n := float64(b.N * round)
	b.ReportMetric(n/bare.Seconds(), "bare/s")
	b.ReportMetric(n/whole.Seconds(), "appraisals/s")
	b.ReportMetric(100*bare.Seconds()/whole.Seconds(), "%-of-bare")
}

// BenchmarkIncrement judges ten new entries of evidence whose quote was checked: their
// bytes are replayed from the point that the agent had reached, judged, and certified;
// in turn with the PCR's chain over as many entries, which nothing makes shorter. It prints
// the medians of rounds of a thousand: while somebody else computes on the same core, a
// round takes a third longer, and the chain, which mostly waits for itself, hardly.
func BenchmarkIncrement(b *testing.B) {
	ten := evidenceOfTen(b)
	begun := ten.begin(b)
	const round = 1000
	b.ReportAllocs()
	var increments, limit []time.Duration
	var value [sha256.Size]byte
	sums := make([][sha256.Size]byte, 10)
	for b.Loop() {
		limit = append(limit, spent(func() { repeat(round, func() { chain.ExtendSums(&value, sums) }) }))
		increments = append(increments, spent(func() { repeat(round, func() { ten.judge(b, begun) }) }))
	}
	slices.Sort(increments)
	slices.Sort(limit)
	increment, least := float64(increments[b.N/2]), float64(limit[b.N/2])
	b.ReportMetric(increment/round, "ns/increment")
	b.ReportMetric(least/round, "limit-ns")
	b.ReportMetric(increment/least, "x-of-limit")
	b.ReportMetric(0, "ns/op")
}

func TestTenEntriesAreJudgedWithoutAnAllocation(t *testing.T) {
	ten := evidenceOfTen(t)
	begun := ten.begin(t)
	if n := testing.AllocsPerRun(100, func() { ten.judge(t, begun) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// increment is evidence with new entries.
type increment struct {
	standing  appraise.Standing
	evidence  wire.Evidence
	list      []byte
	policy    *policy.Policy
	appraisal appraise.Appraisal
}

func (i *increment) begin(b testing.TB) *appraise.Begun {
	begun, err := appraise.Begin(i.standing, verifiertest.Question(), i.evidence)
	if err != nil {
		b.Fatal(err)
	}
	return begun
}

func (i *increment) judge(b testing.TB, begun *appraise.Begun) {
	i.appraisal.Begin(begun, i.policy)
	i.appraisal.Write(i.list)
	if o := i.appraisal.Outcome(begun); !o.Accepted || len(o.Result.Failures) > 0 || o.Result.Runtime != i.policy.Digest() {
		b.Fatal(o)
	}
}

// evidenceOfTen is evidence with ten new entries, which the policy lists.
func evidenceOfTen(b testing.TB) *increment {
	ten := new(increment)
	m := newMachine(b)
	paths := []string{"/bin/0"}
	for i := range 10_000 {
		paths = append(paths, fmt.Sprintf("/usr/lib/x86_64-linux-gnu/%d.so", i))
	}
	ten.policy = allow(b, "", paths...)
	begun, o := m.appraise(m.Standing(), 0, ten.policy)
	ten.standing = after(m.Standing(), begun, o)
	for _, path := range paths[:10] {
		m.File(path, good)
	}
	ten.evidence, ten.list = m.Evidence(1)
	return ten
}

// signature returns what checks one signature of a key like the AK.
func signature(b *testing.B) func() {
	key := newMachine(b).AK.Private
	digest := sha256.Sum256([]byte("a quote"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
			b.Fatal("not verified")
		}
	}
}

func repeat(n int, do func()) {
	for range n {
		do()
	}
}

// spent returns the processor time of the process, garbage collection and all,
// that do takes. Other processes hardly move it.
func spent(do func()) time.Duration {
	began := cpu()
	do()
	return cpu() - began
}

func cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
