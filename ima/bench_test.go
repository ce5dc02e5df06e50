package ima_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// datagram is about what one QUIC packet brings of a list.
const datagram = 1200 // bytes

// BenchmarkReplay replays 100,000 entries in turn with the hashing of one bank
// that nothing can spare, crypto/sha256 of each entry's data and of the PCR with
// it, and prints the ratio of the two (x-of-bare): of the list at once, and as a
// verifier gets it.
func BenchmarkReplay(b *testing.B) {
	list := slices.Repeat(readList(b, "bench-20k-tpm"), 5)
	whole := parseAll(b, list)
	for _, c := range []struct {
		name   string
		replay func() (*ima.Replayed, error)
	}{
		{"whole", func() (*ima.Replayed, error) { return ima.Replay(ima.NewState(pcr.SHA256), list) }},
		{"stream", func() (*ima.Replayed, error) { return stream(list) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var bare, replay time.Duration
			for b.Loop() {
				bare += spent(func() { hash(whole) })
				replay += spent(func() {
					if _, err := c.replay(); err != nil {
						b.Fatal(err)
					}
				})
			}
			entries := float64(b.N * len(whole))
			b.ReportMetric(float64(bare)/entries, "bare-ns/entry")
			b.ReportMetric(float64(replay)/entries, "ns/entry")
			b.ReportMetric(float64(replay)/float64(bare), "x-of-bare")
		})
	}
}

// parseAll returns the template data of each entry.
func parseAll(b *testing.B, list []byte) (data [][]byte) {
	b.Helper()
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			b.Fatal(err)
		}
		data, list = append(data, e.Data), list[n:]
	}
	return data
}

// hash is the least that a replay of the entries has to do.
func hash(entries [][]byte) (value [sha256.Size]byte) {
	var in [2 * sha256.Size]byte
	for _, data := range entries {
		d := sha256.Sum256(data)
		copy(in[:], value[:])
		copy(in[sha256.Size:], d[:])
		value = sha256.Sum256(in[:])
	}
	return value
}

func stream(list []byte) (*ima.Replayed, error) {
	s := ima.NewStream(ima.NewState(pcr.SHA256))
	for piece := range slices.Chunk(list, datagram) {
		if _, err := s.Write(piece); err != nil {
			return nil, err
		}
	}
	return s.Finish()
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
