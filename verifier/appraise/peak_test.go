package appraise_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policycache"
	"quicklime/verifier/verifiertest"
)

const (
	atOnce   = 100  // lists that arrive at one time
	datagram = 1200 // bytes; about what one QUIC packet brings of a list
)

// peakDir names, in the environment, where a process finds the policy and the list
// that it is to judge, and writes the peak of its memory.
const peakDir = "QUICKLIME_BENCH_PEAK"

// BenchmarkPeak judges a hundred lists of 100,000 entries at a time, which arrive
// packet by packet, under one policy of a million paths. It prints the most memory
// that a process which does nothing else had resident (peak-MB): the policy's mapped
// pages, the list, and all that belongs to the machines.
func BenchmarkPeak(b *testing.B) {
	if dir := os.Getenv(peakDir); dir != "" {
		judgeAll(b, dir)
		return
	}
	s, dir := sites[1_000_000](), b.TempDir()
	cache, err := policycache.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	cache.Add(s.policy)
	write(b, dir+"/digest", []byte(s.policy.Digest()))
	write(b, dir+"/list", s.list)
	var peak int
	for b.Loop() {
		c := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkPeak$", "-test.benchtime=1x")
		c.Env = append(os.Environ(), peakDir+"="+dir)
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		if _, err := fmt.Sscan(string(read(b, dir+"/peak")), &peak); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak)/1000, "peak-MB")
}

// judgeAll is what the other process does.
func judgeAll(b *testing.B, dir string) {
	cache, err := policycache.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	p, err := cache.Policy(string(read(b, dir+"/digest")), nil)
	if err != nil {
		b.Fatal(err)
	}
	m := newMachine(b)
	for rest := read(b, dir+"/list"); len(rest) > 0; {
		e, n, err := ima.ParseEntry(rest)
		if err != nil {
			b.Fatal(err)
		}
		m.Measure(e)
		rest = rest[n:]
	}
	ev, list := m.Evidence(0)
	m.List = nil
	begun, err := appraise.Begin(m.Standing(), verifiertest.Question(), ev)
	if err != nil {
		b.Fatal(err)
	}
	var all [atOnce]*appraise.Appraisal
	for i := range all {
		all[i] = new(appraise.Appraisal)
		all[i].Begin(begun, p)
	}
	for packet := range slices.Chunk(list, datagram) {
		for _, a := range all {
			a.Write(packet)
		}
	}
	for _, a := range all {
		if o := a.Outcome(begun); !o.Accepted || len(o.Result.Failures) > 0 {
			b.Fatal(o)
		}
	}
	write(b, dir+"/peak", []byte(peak(b)))
}

// peak is the most memory that the process had resident, in KB.
func peak(b *testing.B) string {
	_, after, _ := strings.Cut(string(read(b, "/proc/self/status")), "VmHWM:")
	kb, _, ok := strings.Cut(after, "kB")
	if !ok {
		b.Fatal("no VmHWM in /proc/self/status")
	}
	return kb
}

func read(b *testing.B, file string) []byte {
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return content
}

func write(b *testing.B, file string, content []byte) {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.Fatal(err)
	}
}
