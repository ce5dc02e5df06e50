package chain

import (
	"crypto/sha256"
	"testing"
)

func TestI16_KernelThatFailsItsSelfTestIsNotUsed(t *testing.T) {
	wrongSum := func(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
		portableExtend(value, messages, sums, near)
		for i, m := range messages {
			if len(messages) > longest && len(m) == longest { // all at once
				sums[i][31] ^= 1
			}
		}
	}
	wrongValue := func(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
		portableExtend(value, messages, sums, near)
		if len(messages) == 1 {
			value[0] ^= 1
		}
	}
	wrongChain := func(value *[sha256.Size]byte, sums [][sha256.Size]byte) { value[0] ^= 1 }
	for _, c := range []struct {
		name      string
		supported bool
		extend    extendFunc
		sums      extendSumsFunc
		want      uint32
	}{
		{"right", true, portableExtend, portableExtendSums, kernel},
		{"not supported", false, portableExtend, portableExtendSums, portable},
		{"wrong hash", true, wrongSum, portableExtendSums, portable},
		{"wrong value", true, wrongValue, portableExtendSums, portable},
		{"wrong chain", true, portableExtend, wrongChain, portable},
	} {
		t.Run(c.name, func(t *testing.T) {
			chosen.Store(undecided)
			defer chosen.Store(undecided)
			if got := decide(c.supported, c.extend, c.sums); got != c.want || chosen.Load() != c.want {
				t.Errorf("chosen %d, want %d", got, c.want)
			}
		})
	}
}

// Where the processor has the instructions, nothing but a defect keeps the kernel
// from being used; the other tests would pass without it.
func TestI16_KernelIsUsed(t *testing.T) {
	if !kernelSupported() {
		t.Skip("the processor lacks the instructions")
	}
	chosen.Store(undecided)
	if Kernel() != "sha-ni" {
		t.Error("the kernel fails its self-test")
	}
}
