package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"runtime"
)

// Near is a table of hashes in which sums are looked for after Extend, so that they are
// in the cache by then. The zero Near is none.
//
// Index is a sequence of n > 0 numbers, little-endian, of 32 bits each: of a hash whose
// first 64 bits are the fraction f of 2^64, number f·n is in which slot of 32 bytes a
// search begins. It looks at three of them.
type Near struct{ Index, Slots []byte }

const (
	indexEntry = 4           // bytes
	slot       = sha256.Size // bytes
	searched   = 3 * slot    // bytes
	line       = 64          // bytes of a line of the cache
)

// Fetch reads from where a search for each sum will. These reads wait for memory side
// by side; those of a search, with its branches between them, would one after the other.
func (n Near) Fetch(sums [][sha256.Size]byte) {
	if len(n.Index) < indexEntry || len(n.Slots) < searched {
		return
	}
	numbers, last := uint64(len(n.Index)/indexEntry), uint64(len(n.Slots)-searched)
	var all byte
	for i := range sums {
		all += n.Index[indexEntry*indexOf(&sums[i], numbers)]
	}
	for i := range sums {
		at := uint64(binary.LittleEndian.Uint32(n.Index[indexEntry*indexOf(&sums[i], numbers):]))
		place := (*[searched]byte)(n.Slots[min(at*slot, last):])
		all += place[0] + place[line]
	}
	runtime.KeepAlive(all)
}

func indexOf(sum *[sha256.Size]byte, numbers uint64) uint64 {
	at, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:]), numbers)
	return at
}
