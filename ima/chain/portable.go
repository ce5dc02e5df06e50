package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"runtime"
)

func portableExtend(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near []byte) {
	v := *value
	for i, m := range messages {
		sums[i] = sha256.Sum256(m)
		v = extended(v, &sums[i])
	}
	*value = v
	touch(near, sums)
}

// touch reads from where each sum has its place in the table. These reads wait for
// memory side by side; those of a search, with its branches between them, would one
// after the other.
func touch(near []byte, sums [][sha256.Size]byte) {
	const line, fetched = 64, 256 // bytes
	if len(near) < fetched {
		return
	}
	hashes, last := uint64(len(near)/sha256.Size), uint64(len(near)-fetched)
	var all byte
	for i := range sums {
		at, _ := bits.Mul64(binary.BigEndian.Uint64(sums[i][:]), hashes)
		place := (*[fetched]byte)(near[min(at*sha256.Size, last):])
		all += place[0] + place[line] + place[2*line] + place[3*line]
	}
	runtime.KeepAlive(all)
}

func portableExtendSums(value *[sha256.Size]byte, sums [][sha256.Size]byte) {
	v := *value
	for i := range sums {
		v = extended(v, &sums[i])
	}
	*value = v
}

// extended is SHA-256(value ‖ sum).
func extended(value [sha256.Size]byte, sum *[sha256.Size]byte) [sha256.Size]byte {
	var b [2 * sha256.Size]byte
	*(*[sha256.Size]byte)(b[:]) = value
	*(*[sha256.Size]byte)(b[sha256.Size:]) = *sum
	return sha256.Sum256(b[:])
}
