package appraise_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quicklime/verifier/appraise"
	"quicklime/verifier/verifiertest"
)

// BenchmarkEvidence appraises evidence with ten new entries under a policy in
// turn with the one signature check that it needs, and prints how many of each
// one core does in a second and how near the one comes to the other (%-of-bare).
func BenchmarkEvidence(b *testing.B) {
	again, verify := evidenceOfTen(b), signature(b)
	const round = 50
	b.ReportAllocs()
	var bare, whole time.Duration
	for b.Loop() {
		bare += spent(func() { repeat(round, verify) })
		whole += spent(func() { repeat(round, again) })
	}
	n := float64(b.N * round)
	b.ReportMetric(n/bare.Seconds(), "bare/s")
	b.ReportMetric(n/whole.Seconds(), "appraisals/s")
	b.ReportMetric(100*bare.Seconds()/whole.Seconds(), "%-of-bare")
}

// evidenceOfTen returns what appraises evidence with ten new entries.
func evidenceOfTen(b *testing.B) func() {
	m := newMachine(b)
	paths := []string{"/bin/0"}
	for i := range 10_000 {
		paths = append(paths, fmt.Sprintf("/usr/lib/x86_64-linux-gnu/%d.so", i))
	}
	p := allow(b, "", paths...)
	begun, o := m.appraise(m.Standing(), 0, p)
	st := after(m.Standing(), begun, o)
	for _, path := range paths[:10] {
		m.File(path, good)
	}
	ev, list := m.Evidence(1)
	return func() {
		begun, err := appraise.Begin(st, verifiertest.Question(), ev)
		if err != nil {
			b.Fatal(err)
		}
		if o := outcome(begun, list, p); !o.Accepted || len(o.Result.Failures) > 0 || o.Result.Runtime != p.Digest() {
			b.Fatal(o)
		}
	}
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
