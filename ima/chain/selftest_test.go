package chain

import (
	"crypto/sha256"
	"testing"
)

// agrees are kernels that do what they should.
func agrees() kernels {
	return kernels{true, true,
		func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
			portableExtendSums(value, due)
			portableExtend(new([sha256.Size]byte), messages, sums, near)
			portableExtendSums(value, sums[:len(messages)-1])
		},
		portableExtendSums,
		func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
			portableExtendSums(value, due)
			portableExtend(new([sha256.Size]byte), messages, sums, near)
		}}
}

func TestI16_KernelThatFailsItsSelfTestIsNotUsed(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(k *kernels)
		want  uint32
	}{
		{"right", func(*kernels) {}, lanes},
		{"not supported", func(k *kernels) { k.supported = false }, portable},
		{"lanes not supported", func(k *kernels) { k.lanesSupported = false }, kernel},
		{"wrong hash", func(k *kernels) {
			right := k.extend
			k.extend = func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
				right(value, due, messages, sums, near)
				for i, m := range messages {
					if len(messages) > longest && len(m) == longest-1 { // all at once, and not the last
						sums[i][31] ^= 1
					}
				}
			}
		}, portable},
		{"wrong value", func(k *kernels) {
			right := k.extend
			k.extend = func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
				right(value, due, messages, sums, near)
				if len(messages) == 1 {
					value[0] ^= 1
				}
			}
		}, portable},
		{"wrong chain", func(k *kernels) {
			k.extendSums = func(value *[sha256.Size]byte, sums [][sha256.Size]byte) { value[0] ^= 1 }
		}, portable},
		{"wrong hash of lanes", func(k *kernels) {
			right := k.overlap
			k.overlap = func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
				right(value, due, messages, sums, near)
				if len(messages[0]) > longest/2 {
					sums[0][31] ^= 1
				}
			}
		}, kernel},
		{"wrong value of lanes", func(k *kernels) {
			right := k.overlap
			k.overlap = func(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
				right(value, due, messages, sums, near)
				if len(due) > maxDue/2 {
					value[0] ^= 1
				}
			}
		}, kernel},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := agrees()
			c.spoil(&k)
			if got := k.best(); got != c.want {
				t.Errorf("the best is %d, want %d", got, c.want)
			}
		})
	}
}

// Where the processor has the instructions, nothing but a defect keeps a kernel from
// being used; the other tests would pass without it.
func TestI16_KernelIsUsed(t *testing.T) {
	if !kernelSupported() {
		t.Skip("the processor lacks the instructions")
	}
	want := "sha-ni"
	if lanesSupported() {
		want = "sha-ni+avx512"
	}
	if k := Kernel(); k != want {
		t.Errorf("%s is used, not %s: it fails its self-test", k, want)
	}
}
