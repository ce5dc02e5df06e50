package chain_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/ima/chain"
)

// messages is the template data of a captured list of 20,000 entries.
func messages(b *testing.B) (data [][]byte) {
	b.Helper()
	packed, err := os.ReadFile("../../testdata/captures/bench-20k-tpm/binary_runtime_measurements.gz")
	if err != nil {
		b.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		b.Fatal(err)
	}
	list, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			b.Fatal(err)
		}
		data, list = append(data, e.Data), list[n:]
	}
	return data
}

// batch is what a replay has at hand at once.
const batch = 128 // entries

func extend(data [][]byte, sums []sum) sum {
	var r chain.Register
	for i := 0; i < len(data); i += batch {
		end := min(i+batch, len(data))
		r.Extend(data[i:end], sums[i:end], chain.Near{})
	}
	return r.Value()
}

func bare(sums []sum) (value sum) {
	chain.ExtendSums(&value, sums)
	return value
}

// BenchmarkExtend replays the list in turn with the bare chain of the fastest kernel
// there is, and prints the ratio of the two (x-of-limit).
func BenchmarkExtend(b *testing.B) {
	data := messages(b)
	sums := make([]sum, len(data))
	for name, which := range map[string]string{"kernel": "auto", "sha-ni": "sha-ni", "portable": "portable"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var limit, replay time.Duration
			for b.Loop() {
				use(b, which)
				replay += wall(func() { extend(data, sums) })
				use(b, "auto")
				limit += wall(func() { bare(sums) })
			}
			entries := float64(b.N * len(data))
			b.ReportMetric(float64(limit)/entries, "limit-ns/entry")
			b.ReportMetric(float64(replay)/entries, "ns/entry")
			b.ReportMetric(float64(replay)/float64(limit), "x-of-limit")
		})
	}
}

// BenchmarkLimit is the bare chain, which no second core makes faster.
func BenchmarkLimit(b *testing.B) {
	sums := make([]sum, 20000)
	for b.Loop() {
		bare(sums)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(sums)), "ns/entry")
}

// BenchmarkTwoCores replays two lists at once, one on each of two cores, in turn with
// two bare chains at once. Each is compared with one alone: loss-% is what the
// replays lose beyond what the chains do.
func BenchmarkTwoCores(b *testing.B) {
	data := messages(b)
	one, two := make([]sum, len(data)), make([]sum, len(data))
	extend(data, one)
	var replay, replays, limit, limits time.Duration
	for b.Loop() {
		replay += wall(func() { extend(data, one) })
		replays += wall(func() { both(func() { extend(data, one) }, func() { extend(data, two) }) })
		limit += wall(func() { bare(one) })
		limits += wall(func() { both(func() { bare(one) }, func() { bare(two) }) })
	}
	lost := float64(replays) / float64(replay) / (float64(limits) / float64(limit))
	b.ReportMetric(100*(lost-1), "loss-%")
	b.ReportMetric(float64(replays)/float64(limits), "x-of-limit")
}

func both(f, g func()) {
	var w sync.WaitGroup
	w.Go(f)
	g()
	w.Wait()
}

func wall(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}
