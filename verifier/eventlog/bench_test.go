package eventlog_test

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/pcr"
)

// spent is the processor time that the process has used.
func spent(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkBootLog parses a log of 50 KB, replays it to a quote in one bank and
// reads what the digests cover, in turn with what cannot be spared: the chain of
// the same digests, and with the hashes of the data beside it. Times are of the processor.
func BenchmarkBootLog(b *testing.B) {
	log := verifiertest.BootLog(b, "ovmf-secureboot-6.1")
	tail := log[bytes.Index(log, []byte("Spec ID Event03"))+37:]
	for len(log) < 50_000 {
		log = append(log, tail...)
	}
	events := supposed(b, log)
	s, err := parse(b, log).Suppose(pcr.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	of := map[int][]byte{}
	for i := range pcr.Count {
		if v, ok := s.PCR(i); ok {
			of[i] = v
		}
	}
	quoted := verifiertest.Quoted(b, values(b, pcr.SHA256, of))

	var whole, chain, hashes time.Duration
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		at := spent(b)
		l, err := eventlog.Parse(log)
		if err != nil {
			b.Fatal(err)
		}
		r := l.Replay(quoted)
		whole += spent(b) - at
		if len(r.Events()) != len(events) {
			b.Fatalf("%d events, want %d", len(r.Events()), len(events))
		}

		at = spent(b)
		h := pcr.SHA256.Hash().New()
		var value [pcr.Count][32]byte
		for _, e := range events {
			p := value[e.PCR()][:]
			h.Reset()
			h.Write(p)
			h.Write(e.Digest())
			h.Sum(p[:0])
		}
		chain += spent(b) - at
		if !bytes.Equal(value[7][:], of[7]) {
			b.Fatal("the chain is of something else")
		}

		at = spent(b)
		var sum [32]byte
		for _, e := range events {
			h.Reset()
			h.Write(e.Claim().Unchecked())
			h.Sum(sum[:0])
		}
		hashes += spent(b) - at
	}
	n := float64(b.N) * 1000
	b.ReportMetric(float64(whole.Nanoseconds())/n, "us/log")
	b.ReportMetric(float64(chain.Nanoseconds())/n, "chain-us/log")
	b.ReportMetric(float64(hashes.Nanoseconds())/n, "data-us/log")
	b.ReportMetric(float64(whole)/float64(chain), "x-of-chain")
	b.ReportMetric(float64(whole)/float64(chain+hashes), "x-of-hashing")
}
