// Package chain computes what IMA extends PCR 10 of the SHA-256 bank with, and the
// value that comes of it: for each entry of a measurement list two hashes, of its
// template data and of the PCR's value with that (TPM 2.0 Library part 1, 11.4.7,
// PCR extend; kernel: security/integrity/ima/ima_queue.c).
//
// # Kernel
//
// The second hash cannot begin before that of the entry before has ended, so a list
// takes no less time than this chain, two blocks of SHA-256 an entry, on one core.
// The SHA instructions of amd64 are idle meanwhile, for a quarter of the time or half
// of it, as the processor has it: each waits for the result of the one before. There the
// kernel hashes the next entry's data. Data of more than two blocks (119 bytes) goes
// ahead, all but its last two blocks, two messages at a time.
//
// Where there is AVX-512, too, a Register has sixteen messages hashed side by side while
// the SHA instructions chain those before, if they are many.
//
// Each is used where the processor has the instructions and where it has agreed with
// crypto/sha256 at first use. Elsewhere, with the build tag purego, or if Use said
// so, crypto/sha256 does it all.
package chain

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
)

// ExtendSums extends value with hashes that are known: the chain alone.
//
//	value = SHA-256(value ‖ sums[i])
func ExtendSums(value *[sha256.Size]byte, sums [][sha256.Size]byte) {
	if uses(kernel) {
		kernelExtendSums(value, sums)
		return
	}
	portableExtendSums(value, sums)
}

// What hashes, each faster than the one before.
const (
	portable uint32 = 1 + iota // crypto/sha256
	kernel                     // the SHA instructions
	lanes                      // these, and AVX-512 beside them
)

// allowed is the fastest that Use lets be used; 0 is any.
var allowed atomic.Uint32

// best is the fastest that can be used.
var best = sync.OnceValue(func() uint32 {
	extend := func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
		kernelExtend(value, due, messages, sums, near, new(workspace))
	}
	return kernels{kernelSupported(), lanesSupported(), extend, kernelExtendSums, lanesOverlap}.best()
})

// Use chooses what hashes, for the whole process: "auto", the fastest that can be
// used; "sha-ni", the same without AVX-512; or "portable".
func Use(which string) error {
	switch which {
	case "auto":
		allowed.Store(lanes)
	case "sha-ni":
		allowed.Store(kernel)
	case "portable":
		allowed.Store(portable)
	default:
		return fmt.Errorf(`SHA-256 is computed "auto", "sha-ni" or "portable", not %q`, which)
	}
	return nil
}

// Kernel names what hashes: "sha-ni+avx512", "sha-ni" or "portable".
func Kernel() string {
	switch {
	case uses(lanes):
		return "sha-ni+avx512"
	case uses(kernel):
		return "sha-ni"
	}
	return "portable"
}

// uses reports whether something as fast as that is used.
func uses(what uint32) bool {
	a := allowed.Load()
	return (a == 0 || a >= what) && best() >= what
}

// kernels are what there is to choose from.
type kernels struct {
	supported, lanesSupported bool
	extend                    func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near)
	extendSums                func(value *[sha256.Size]byte, sums [][sha256.Size]byte)
	overlap                   func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near)
}

// best tests them.
func (k kernels) best() uint32 {
	switch {
	case !k.supported || !k.pass():
		return portable
	case !k.lanesSupported || !k.lanesPass():
		return kernel
	}
	return lanes
}
