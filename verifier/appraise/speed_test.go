package appraise_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/ima/chain"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/policycache"
	"quicklime/wire/pcr"
)

// directories are where a distribution has its files.
var directories = []string{"/usr/lib/x86_64-linux-gnu/", "/usr/lib/python3/dist-packages/", "/usr/share/perl5/vendor_perl/", "/usr/lib/modules/6.1.0-37-amd64/kernel/drivers/",
	"/usr/bin/", "/usr/libexec/", "/usr/share/factory/etc/", "/opt/app/lib/node_modules/"}

// A site is a policy of so many paths, and a list of files that it allows.
type site struct {
	policy *policy.Policy
	list   []byte
	sums   [][sha256.Size]byte // of the list's templates
}

// measured is how many entries a site's list has, if its policy has so many paths.
const measured = 100_000

var sites = map[int]func() site{
	1_000: sync.OnceValue(func() site { return newSite(1_000) }), 1_000_000: sync.OnceValue(func() site { return newSite(1_000_000) }),
}

// newSite makes paths of 54 to 66 bytes, as the files of a distribution have, each
// with a digest.
func newSite(paths int) (s site) {
	r := rand.New(rand.NewPCG(42, 1))
	var text bytes.Buffer
	text.WriteString(`{"meta":{"version":1},"excludes":["^/tmp/.*"],"digests":{`)
	all := make([]ima.Entry, paths)
	for i := range all {
		path := []byte(directories[r.IntN(len(directories))])
		for n := 54 + r.IntN(13) - 7; len(path) < n; {
			path = append(path, "abcdefghijklmnopqrstuvwxyz_-."[r.IntN(29)])
		}
		path = fmt.Appendf(path, "_%x", i)
		digest := pcr.SHA256.Sum(path)
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"%s":["%x"]`, path, digest)
		all[i] = ima.NewFileEntry(pcr.SHA256, digest, string(path))
	}
	text.WriteString(`}}`)
	p, err := policy.Parse(text.Bytes())
	if err != nil {
		panic(err)
	}
	for range measured {
		e := all[r.IntN(paths)]
		s.list = e.AppendTo(s.list)
		s.sums = append(s.sums, sha256.Sum256(e.Data))
	}
	s.policy = fromFile(p)
	return s
}

// fromFile returns a policy as the verifier has it.
func fromFile(p *policy.Policy) *policy.Policy {
	dir, err := os.MkdirTemp("", "policies")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cache, err := policycache.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	loaded := cache.Add(p)
	if loaded == p {
		panic("it is not stored")
	}
	return loaded
}

// appraisal replays and judges the list once.
func (s site) appraisal(b *testing.B) {
	r, err := appraise.Preview(s.list, s.policy)
	if err != nil || r.Entries != measured || len(r.Failures) != 1 { // it has no boot_aggregate
		b.Fatalf("%d entries, %v, %v", r.Entries, r.Failures, err)
	}
}

// limit is the chain of the list's templates alone.
func (s site) limit() {
	var value [sha256.Size]byte
	chain.ExtendSums(&value, s.sums)
}

// BenchmarkJudge replays and judges a list of 100,000 entries under a policy in turn
// with the limit: the PCR's own chain of hashes, computed with the fastest
// instructions there are, which no second core makes shorter. It prints how much of
// the limit is reached (of-limit).
func BenchmarkJudge(b *testing.B) {
	for _, kernel := range []string{"auto", "portable"} {
		for _, paths := range []int{1_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", kernel, paths), func(b *testing.B) {
				s := sites[paths]()
				s.appraisal(b)
				runtime.GC()
				b.ReportAllocs()
				var limit, judge time.Duration
				for b.Loop() {
					limit += spent(s.limit)
					use(b, kernel)
					judge += spent(func() { s.appraisal(b) })
					use(b, "auto")
				}
				n := float64(b.N * measured)
				b.ReportMetric(float64(limit)/n, "limit-ns/entry")
				b.ReportMetric(float64(judge)/n, "ns/entry")
				b.ReportMetric(float64(limit)/float64(judge), "of-limit")
			})
		}
	}
}

func use(b *testing.B, kernel string) {
	if err := chain.Use(kernel); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGrowth prints how much longer an entry takes under a policy of a million
// paths than under one of a thousand (x-of-1k).
func BenchmarkGrowth(b *testing.B) {
	small, large := sites[1_000](), sites[1_000_000]()
	var of [2]time.Duration
	for b.Loop() {
		for i, s := range []site{small, large} {
			of[i] += spent(func() { s.appraisal(b) })
		}
	}
	b.ReportMetric(float64(of[1])/float64(of[0]), "x-of-1k")
}

// BenchmarkTwoLists prints by how much two lists on two cores take longer than two
// copies of the limit do, relative to one of each on one core (%-lost).
func BenchmarkTwoLists(b *testing.B) {
	s := sites[1_000_000]()
	judge := func() { s.appraisal(b) }
	var one, two, oneLimit, twoLimit time.Duration
	for b.Loop() {
		one += elapsed(1, judge)
		oneLimit += elapsed(1, s.limit)
		two += elapsed(2, judge)
		twoLimit += elapsed(2, s.limit)
	}
	b.ReportMetric(100*(float64(two)/float64(one)/(float64(twoLimit)/float64(oneLimit))-1), "%-lost")
}

// elapsed is how long n goroutines take to do it at one time.
func elapsed(n int, do func()) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(do)
	}
	all.Wait()
	return time.Since(began)
}
