package verifier_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"quicklime/wire/pcr"
)

// part is one of the times between the append of an entry and its verdict, which
// follow on each other without a gap.
type part int

const (
	watch  part = iota // the entry is appended → the agent notices
	quote              // → a quote that covers the entry, which the TPM has to extend first, is there
	send               // → the verifier has the frame; the list is still coming
	verify             // → the list is read and judged
	commit             // → it is on disk
	answer             // → the agent has the verdict
	parts
)

var partNames = [parts]string{"watch", "quote", "send", "verify", "commit", "answer"}

// BenchmarkNews appends an entry to the list and the PCR, and waits for the
// verdict: through a real TPM emulator, QUIC and a database on disk. It prints
// median, 95th percentile and mean of each part and of the whole, and in turn with
// them of a bare quote by the same TPM and a bare commit on the same disk.
func BenchmarkNews(b *testing.B) {
	s := newSystem(b)
	db := s.database()
	samples := map[string][]time.Duration{}
	for b.Loop() {
		var total time.Duration
		for p, d := range s.news() {
			samples[partNames[p]] = append(samples[partNames[p]], d)
			total += d
		}
		samples["total"] = append(samples["total"], total)
		samples["bare-quote"] = append(samples["bare-quote"], spent(s.quote))
		samples["bare-commit"] = append(samples["bare-commit"], spent(func() { s.commit(db) }))
	}
	for name, all := range samples {
		report(b, name, all)
	}
}

func spent(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

func report(b *testing.B, name string, all []time.Duration) {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	slices.Sort(all)
	b.ReportMetric(milliseconds(all[len(all)/2]), name+"-p50-ms")
	b.ReportMetric(milliseconds(all[len(all)*95/100]), name+"-p95-ms")
	b.ReportMetric(milliseconds(sum)/float64(len(all)), name+"-mean-ms")
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// TestTheTimesOfNewsFollowOnEachOther holds what BenchmarkNews adds up to what
// agent and verifier log. The part "watch" alone may end before the file was
// measured: where a second notice of the entry before is still waiting for that
// one's verdict, the agent finds the new entry while it looks into that notice.
func TestTheTimesOfNewsFollowOnEachOther(t *testing.T) {
	s := newSystem(t)
	for range 3 {
		for p, d := range s.news() {
			if d < 0 && part(p) != watch {
				t.Errorf("%s took %v", partNames[p], d)
			}
		}
	}
}

// news measures one more entry, and returns how long each part took.
func (s *system) news() (took [parts]time.Duration) {
	s.Helper()
	began := time.Now()
	s.measureFile(fmt.Sprintf("/usr/bin/%d", s.entries))
	judged, answered := s.await("evidence was judged"), s.await("evidence was answered")
	at := began
	for p, next := range [parts]time.Time{
		watch:  answered.before("verdict", "send", "quote"),
		quote:  answered.before("verdict", "send"),
		send:   judged.before("commit", "verify"),
		verify: judged.before("commit"),
		commit: judged.time,
		answer: answered.time,
	} {
		took[p], at = next.Sub(at), next
	}
	return took
}

// await returns the next account of that name about growth that was accepted up to
// the last entry.
func (s *system) await(message string) account {
	s.Helper()
	late := time.After(patience)
	for {
		select {
		case r := <-s.in.accounts[message]:
			if r.entries == s.entries && r.trigger == "growth" {
				return r
			}
		case <-late:
			s.Fatalf("no %q of entry %d; the verifier says:\n%s", message, s.entries, s.in.log)
		}
	}
}

// account is what a daemon logged about an evidence.
type account struct {
	time    time.Time
	trigger string
	entries uint64
	took    map[string]time.Duration
}

// before is when the steps had not been taken yet, of which the account tells.
func (r account) before(steps ...string) time.Time {
	t := r.time
	for _, s := range steps {
		t = t.Add(-r.took[s])
	}
	return t
}

// recorder is a log that keeps the records of the messages that it has, as long as
// there is room.
type recorder map[string]chan account

func newRecorder() recorder {
	return recorder{"evidence was judged": make(chan account, 100), "evidence was answered": make(chan account, 100)}
}

func (recorder) Enabled(context.Context, slog.Level) bool { return true }
func (l recorder) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l recorder) WithGroup(string) slog.Handler          { return l }

func (l recorder) Handle(_ context.Context, in slog.Record) error {
	c, ok := l[in.Message]
	if !ok {
		return nil
	}
	r := account{time: in.Time, took: make(map[string]time.Duration)}
	in.Attrs(func(a slog.Attr) bool {
		switch v := a.Value; {
		case a.Key == "trigger":
			r.trigger = v.String()
		case a.Key == "entries":
			r.entries = v.Uint64()
		case v.Kind() == slog.KindDuration:
			r.took[a.Key] = v.Duration()
		}
		return true
	})
	select {
	case c <- r:
	default: // a test that reads no accounts keeps no daemon waiting
	}
	return nil
}

// policyOf lists so many files as measureFile measures them, and is as long as that
// of a small distribution.
func policyOf(n int) []byte {
	digests := make(map[string][]string, n)
	for i := range n {
		path := fmt.Sprintf("/usr/bin/%d", i)
		digests[path] = []string{fmt.Sprintf("%x", pcr.SHA256.Sum([]byte(path)))}
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]any{"version": 1}, "digests": digests})
	if err != nil {
		panic(err)
	}
	return text
}
