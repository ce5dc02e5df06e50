package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"runtime"
)

// Fetch reads from where each sum has its place in a table, as Extend has it, for a
// search to find it in the cache. These reads wait for memory side by side; those of a
// search, with its branches between them, would one after the other.
func Fetch(near []byte, sums [][sha256.Size]byte) {
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
