//go:build !amd64 || purego

package chain

import "crypto/sha256"

func kernelSupported() bool { return false }

func lanesSupported() bool { return false }

type workspace struct{}

func kernelExtend(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near, _ *workspace) {
	portableExtendSums(value, due)
	portableExtend(new([sha256.Size]byte), messages, sums, near)
	portableExtendSums(value, sums[:len(messages)-1])
}

func kernelExtendSums(value *[sha256.Size]byte, sums [][sha256.Size]byte) {
	portableExtendSums(value, sums)
}

func lanesOverlap(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
	portableExtendSums(value, due)
	portableExtend(new([sha256.Size]byte), messages, sums, near)
}
