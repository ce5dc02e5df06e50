package store_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/verifier/policycache"
	"quicklime/verifier/session"
	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// judgeFleet names, in the environment, the database whose agents a process judges
// again, and does nothing else. Compiled policies are beside it.
const judgeFleet = "QUICKLIME_BENCH_JUDGE"

// judge has a policy that lists all that the fleet has measured take the place of
// one that does not list one file of all machines, and the other way round, and
// each time another process judge every agent again, as a verifier does. Of the
// second it prints how long that took, with what processor time (cpu-s) and how
// much memory at most (peak-MB); of the first, the time.
func (f *fleet) judge(b *testing.B, s *store.Store, path string) {
	all, compiledAll := f.policy(b, nil)
	one := f.files[len(f.files)/2]
	most, compiledMost := f.policy(b, &one)
	cache := compiledBeside(b, path)
	cache.Add(compiledAll)
	cache.Add(compiledMost)
	compiledAll, compiledMost = nil, nil
	var loosened, tightened, cpu float64
	var peak int
	for b.Loop() {
		took, _, _ := f.inForce(b, s, path, all, 0)
		loosened += took.Seconds()
		took, user, kb := f.inForce(b, s, path, most, 1)
		tightened, cpu, peak = tightened+took.Seconds(), cpu+user.Seconds(), max(peak, kb)
	}
	n := float64(b.N)
	b.ReportMetric(loosened/n, "loosened-s")
	b.ReportMetric(tightened/n, "tightened-s")
	b.ReportMetric(cpu/n, "cpu-s")
	b.ReportMetric(tightened/n*1e9/float64(f.agents*f.entries), "ns/entry")
	b.ReportMetric(float64(peak)/1000, "peak-MB")
	b.ReportMetric(0, "ns/op")
}

// inForce puts a policy in force and has all judged again, so that every machine
// has this many failures.
func (f *fleet) inForce(b *testing.B, s *store.Store, path string, p rest.RuntimePolicy, failures int) (took, cpu time.Duration, peak int) {
	if err := s.RuntimePolicies.Update(b.Context(), p); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkJudgeAgain$", "-test.benchtime=1x")
	c.Env = append(os.Environ(), judgeFleet+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	report, err := os.ReadFile(path + ".judged")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(report), &took, &peak); err != nil {
		b.Fatal(err)
	}
	agents, err := s.Agents(b.Context())
	if err != nil || len(agents.Agents) != f.agents {
		b.Fatal(len(agents.Agents), err)
	}
	for _, a := range agents.Agents {
		if a.FailureCount != failures || a.Trust == wire.Pending || (a.Trust == wire.Untrusted) != (failures > 0) {
			b.Fatalf("agent %s is %s with %d failures, want %d", a.ID, a.Trust, a.FailureCount, failures)
		}
	}
	return took, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), peak
}

// BenchmarkJudgeAgain is what the other process does: it is part of BenchmarkFleet.
func BenchmarkJudgeAgain(b *testing.B) {
	path := os.Getenv(judgeFleet)
	if path == "" {
		b.Skip("part of BenchmarkFleet")
	}
	s := open(b, path)
	judged := make(verdicts, 1)
	server := session.New(s, compiledBeside(b, path), session.DefaultTiming, nil, slog.New(judged))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	began := time.Now()
	go func() { done <- server.RunJudge(ctx) }()
	<-judged
	took := time.Since(began)
	left, err := s.Unjudged(b.Context())
	if err != nil || len(left) > 0 {
		b.Fatal(len(left), err)
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path+".judged", fmt.Appendf(nil, "%d %s", took, peak(b)), 0o600); err != nil {
		b.Fatal(err)
	}
}

// verdicts is a log that hears when all have been judged.
type verdicts chan string

func (verdicts) Enabled(context.Context, slog.Level) bool { return true }
func (l verdicts) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l verdicts) WithGroup(string) slog.Handler          { return l }

func (l verdicts) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "judged again") {
		l <- r.Message
	}
	return nil
}

// peak is the most memory that the process had resident, in KB.
func peak(b *testing.B) string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kb, _, _ := strings.Cut(after, "kB")
	return strings.TrimSpace(kb)
}

func compiledBeside(b *testing.B, path string) *policycache.Cache {
	c, err := policycache.Open(filepath.Join(filepath.Dir(path), "policies"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// policy lists what all machines have measured, but for one entry.
func (f *fleet) policy(b *testing.B, without *ima.Entry) (rest.RuntimePolicy, *policy.Policy) {
	l := lister{digests: map[string][]string{}, seen: map[string]bool{}}
	if without != nil {
		l.seen[string(without.Data)] = true
	}
	for agent := range f.agents {
		f.list(agent, &l)
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]any{"version": 1}, "digests": l.digests})
	if err != nil {
		b.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	return rest.RuntimePolicy{Policy: rest.Policy{Name: fleetPolicy, Digest: p.Digest(), Text: string(text)}, Paths: p.Paths()}, p
}

// lister gathers the files that it is shown.
type lister struct {
	digests map[string][]string
	seen    map[string]bool // template data
}

func (l *lister) Visit(b ima.Batch) {
	for _, e := range b.Entries {
		if l.seen[string(e.Data)] {
			continue
		}
		l.seen[string(e.Data)] = true
		ev, _ := e.Event()
		l.digests[string(ev.Name)] = append(l.digests[string(ev.Name)], hex.EncodeToString(ev.Digest))
	}
}
