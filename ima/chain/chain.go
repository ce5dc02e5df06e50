// Package chain computes what IMA extends PCR 10 of the SHA-256 bank with, and the
// value that comes of it: for each entry of a measurement list two hashes, of its
// template data and of the PCR's value with that (TPM 2.0 Library part 1, 11.4.7,
// PCR extend; kernel: security/integrity/ima/ima_queue.c).
//
// # Kernel
//
// The second hash cannot begin before that of the entry before has ended, so a list
// takes no less time than this chain, two blocks of SHA-256 an entry, on one core.
// The SHA instructions of amd64 are idle for half of it: each waits for the result
// of the one before. The kernel hashes the next entry's data meanwhile. Data of more
// than two blocks (119 bytes) goes ahead, all but its last two blocks, two messages
// at a time.
//
// It is used where the processor has the instructions and where it has agreed with
// crypto/sha256 at first use. Elsewhere, with the build tag purego, or if Use said
// so, crypto/sha256 does it all.
package chain

import (
	"crypto/sha256"
	"fmt"
	"sync/atomic"
)

// Extend hashes each message and extends value with each hash, in order:
//
//	sums[i] = SHA-256(messages[i])
//	value = SHA-256(value ‖ sums[i])
//
// It panics if there are fewer sums than messages. It allocates nothing.
//
// Near is where the sums are looked for afterwards. The kernel has the processor fetch
// that meanwhile.
func Extend(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
	if usesKernel() {
		kernelExtend(value, messages, sums[:len(messages)], near)
		return
	}
	portableExtend(value, messages, sums[:len(messages)], near)
}

// ExtendSums extends value with hashes that are known: the chain alone.
func ExtendSums(value *[sha256.Size]byte, sums [][sha256.Size]byte) {
	if usesKernel() {
		kernelExtendSums(value, sums)
		return
	}
	portableExtendSums(value, sums)
}

// What hashes, or what is tested when something is to be hashed.
const (
	undecided     uint32 = iota // the fastest that can be used
	undecidedOne                // the same without lanes
	portable                    // crypto/sha256
	kernel                      // the SHA instructions
	kernelOfLanes               // these, and AVX-512 beside them
)

var chosen atomic.Uint32

// Use chooses what hashes, for the whole process: "auto", the fastest that can be
// used; "sha-ni", the same without AVX-512; or "portable".
func Use(which string) error {
	switch which {
	case "auto":
		chosen.Store(undecided)
	case "sha-ni":
		chosen.Store(undecidedOne)
	case "portable":
		chosen.Store(portable)
	default:
		return fmt.Errorf(`SHA-256 is computed "auto", "sha-ni" or "portable", not %q`, which)
	}
	return nil
}

// Kernel names what hashes: "sha-ni+avx512", "sha-ni" or "portable".
func Kernel() string {
	switch choice() {
	case kernelOfLanes:
		return "sha-ni+avx512"
	case kernel:
		return "sha-ni"
	}
	return "portable"
}

func usesKernel() bool { return choice() >= kernel }

func usesLanes() bool { return choice() == kernelOfLanes }

func choice() uint32 {
	c := chosen.Load()
	if c <= undecidedOne {
		c = decide(c, kernels{kernelSupported(), lanesSupported(), kernelExtend, kernelExtendSums, lanesOverlap})
	}
	return c
}

// kernels are what there is to choose from.
type kernels struct {
	supported, lanesSupported bool
	extend                    func(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near)
	extendSums                func(value *[sha256.Size]byte, sums [][sha256.Size]byte)
	overlap                   func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near)
}

// decide tests them and chooses, unless Use has in the meantime.
func decide(from uint32, k kernels) uint32 {
	c := portable
	if k.supported && k.passes() {
		c = kernel
		if from == undecided && k.lanesSupported && k.lanesPass() {
			c = kernelOfLanes
		}
	}
	chosen.CompareAndSwap(from, c)
	return c
}
