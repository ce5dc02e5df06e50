package policycache

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"quicklime/verifier/policy"
)

const (
	// MaxHuge bounds the copies of sets together, and so does an eighth of the machine's
	// memory. They cannot be evicted as the pages of a file can: some twenty-five of a
	// million paths fit, and further ones are searched in their files.
	MaxHuge = 1 << 30 // bytes

	// minHuge is the least that is copied: 2,048 small pages, as many as a processor's
	// second-level TLB has entries (1,536 to 3,072). A set of half the size gains nothing.
	minHuge = 8 << 20 // bytes

	// hugePage is the size of a huge page where others have 4 KiB.
	hugePage = 2 << 20 // bytes
)

// huge has sets copied to memory of huge pages. A search reads at random all over a set,
// and the processor's TLB has room for few of the small pages of a large one. A mapped file
// has others only with some kernels and file systems, and there while it is in the cache as
// it was written.
type huge struct {
	log    *slog.Logger
	advise func([]byte) error
	most   int64        // bytes of all copies
	used   atomic.Int64 // of these
}

func newHuge(log *slog.Logger) *huge {
	return &huge{log: log, advise: adviseHuge, most: mostHuge(memory())}
}

// mostHuge is what copies may have together on a machine with so much memory.
func mostHuge(memory uint64) int64 { return int64(min(MaxHuge, memory/8)) }

// hold returns the policy.Hold of a policy that is loaded from a mapped file. Copies live
// for as long as the policy can be reached.
func (h *huge) hold(file []byte) policy.Hold {
	return func(p *policy.Policy, set []byte) []byte {
		if len(set) < minHuge {
			return nil
		}
		all, copied, err := h.copy(set)
		if err != nil {
			h.log.Info("a policy is not searched in huge pages, which takes a little longer", "policy", p.Digest()[:12], "error", err)
			return nil
		}
		runtime.AddCleanup(p, h.free, all)
		unix.Madvise(file, unix.MADV_DONTNEED) // nobody searches the set there now
		return copied
	}
}

// copy maps memory and copies a set to where a huge page begins in it.
func (h *huge) copy(set []byte) (all, copied []byte, err error) {
	size := (len(set)/hugePage + 2) * hugePage // one is for the place of the first
	if h.used.Add(int64(size)) > h.most {
		h.used.Add(-int64(size))
		return nil, nil, fmt.Errorf("with this one copies would have more than %d MiB, an eighth of the memory or %d", h.most>>20, MaxHuge>>20)
	}
	if all, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		h.used.Add(-int64(size))
		return nil, nil, fmt.Errorf("mmap: %w", err)
	}
	at := -int(reflect.ValueOf(all).Pointer()) & (hugePage - 1)
	copied = all[at : at+len(set) : at+len(set)]
	if err = h.advise(all); err == nil {
		copy(copied, set)
		err = unix.Mprotect(all, unix.PROT_READ)
	}
	if err != nil {
		h.free(all)
		return nil, nil, err
	}
	return all, copied, nil
}

func (h *huge) free(all []byte) {
	unix.Munmap(all)
	h.used.Add(-int64(len(all)))
}
