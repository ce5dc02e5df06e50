package perf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// header is the size of perf_event_header (perf_event_open(2)), in the machine's
// byte order:
//
//	type u32 | misc u16 | size u16, the header included
const header = 8 // bytes

// errRing says that a ring does not hold what the kernel writes there.
var errRing = errors.New("the perf ring is malformed")

// hits says what a ring had.
type hits struct {
	samples   uint64
	lost      uint64 // samples that found no room; the kernel woke us all the same
	throttled bool   // the kernel silenced the event for the rest of a tick
}

// parse reads the records between tail and head, offsets that only grow, of a
// ring whose length is a power of two. A record may wrap around.
func parse(ring []byte, tail, head uint64) (h hits, err error) {
	size := uint64(len(ring))
	if size == 0 || size&(size-1) != 0 || head < tail || head-tail > size {
		return hits{}, fmt.Errorf("%w: %d to %d in %d bytes", errRing, tail, head, size)
	}
	for tail < head {
		kind := binary.NativeEndian.Uint32(take(ring, tail, 4))
		n := uint64(binary.NativeEndian.Uint16(take(ring, tail+6, 2)))
		if n < header || n%8 != 0 || n > head-tail {
			return hits{}, fmt.Errorf("%w: a record of %d bytes, %d are left", errRing, n, head-tail)
		}
		switch kind {
		case unix.PERF_RECORD_SAMPLE:
			h.samples++
		case unix.PERF_RECORD_LOST: // id u64 | lost u64
			if n < header+16 {
				return hits{}, fmt.Errorf("%w: PERF_RECORD_LOST of %d bytes", errRing, n)
			}
			h.lost += binary.NativeEndian.Uint64(take(ring, tail+header+8, 8))
		case unix.PERF_RECORD_THROTTLE:
			h.throttled = true
		}
		tail += n
	}
	return h, nil
}

// take returns n bytes at an offset, which may wrap around.
func take(ring []byte, at, n uint64) []byte {
	at &= uint64(len(ring)) - 1
	if at+n <= uint64(len(ring)) {
		return ring[at : at+n]
	}
	first := uint64(len(ring)) - at
	return append(append([]byte(nil), ring[at:]...), ring[:n-first]...)
}
