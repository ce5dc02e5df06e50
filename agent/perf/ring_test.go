package perf

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// record returns one as the kernel writes it.
func record(kind uint32, body ...uint64) []byte {
	b := binary.NativeEndian.AppendUint32(nil, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(header+8*len(body)))
	for _, v := range body {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return b
}

// at lays records into a ring of 64 bytes from an offset on.
func at(tail uint64, records ...[]byte) (ring []byte, head uint64) {
	ring, head = make([]byte, 64), tail
	for _, r := range records {
		for _, c := range r {
			ring[head%64] = c
			head++
		}
	}
	return ring, head
}

func TestParse(t *testing.T) {
	sample, lost := record(unix.PERF_RECORD_SAMPLE, 7), record(unix.PERF_RECORD_LOST, 1, 5)
	for _, c := range []struct {
		name    string
		records [][]byte
		want    hits
	}{
		{"nothing", nil, hits{}},
		{"two samples", [][]byte{sample, sample}, hits{samples: 2}},
		{"a sample without a body", [][]byte{record(unix.PERF_RECORD_SAMPLE)}, hits{samples: 1}},
		{"lost ones", [][]byte{sample, lost}, hits{samples: 1, lost: 5}},
		{"throttled", [][]byte{record(unix.PERF_RECORD_THROTTLE, 1, 2, 3), sample}, hits{samples: 1, throttled: true}},
		{"what is of no interest", [][]byte{record(unix.PERF_RECORD_UNTHROTTLE, 1, 2, 3), sample}, hits{samples: 1}},
		{"a full ring", [][]byte{sample, sample, sample, sample}, hits{samples: 4}},
	} {
		for tail := uint64(0); tail < 128; tail += 8 { // every place where a record can wrap
			ring, head := at(tail, c.records...)
			got, err := parse(ring, tail, head)
			if err != nil {
				t.Fatalf("%s at %d: %v", c.name, tail, err)
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(hits{})); d != "" {
				t.Errorf("%s at %d: %s", c.name, tail, d)
			}
		}
	}
}

func TestI04_MalformedRingsAreRefused(t *testing.T) {
	sample := record(unix.PERF_RECORD_SAMPLE, 7)
	small, odd, large := record(0), record(0, 0), record(0, 0)
	binary.NativeEndian.PutUint16(small[6:], 0)
	binary.NativeEndian.PutUint16(odd[6:], 12)
	binary.NativeEndian.PutUint16(large[6:], 24)
	for name, r := range map[string][]byte{"a record of no size": small, "an odd size": odd, "a record beyond the head": large,
		"a loss that does not say of what": record(unix.PERF_RECORD_LOST, 1)} {
		ring, head := at(0, r)
		if _, err := parse(ring, 0, head); !errors.Is(err, errRing) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ring, head := at(0, sample, sample, sample, sample)
	for name, err := range map[string]error{
		"a head behind the tail":    second(parse(ring, head, 0)),
		"more than the ring holds":  second(parse(ring, 0, 80)),
		"a ring of no power of two": second(parse(ring[:48], 0, 16)),
		"no ring":                   second(parse(nil, 0, 0)),
	} {
		if !errors.Is(err, errRing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ hits, err error) error { return err }

func FuzzParse(f *testing.F) {
	ring, head := at(40, record(unix.PERF_RECORD_SAMPLE, 7), record(unix.PERF_RECORD_LOST, 1, 5))
	f.Add(ring, uint64(40), head)
	f.Fuzz(func(t *testing.T, ring []byte, tail, head uint64) {
		h, err := parse(ring, tail, head)
		if err == nil && h.samples > uint64(len(ring))/header {
			t.Errorf("%d samples in %d bytes", h.samples, len(ring))
		}
	})
}
