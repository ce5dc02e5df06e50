//go:build amd64 && !purego

package chain

import "math/bits"

//lint:file-ignore U1000 the assembly uses these

// k are the round constants (FIPS 180-4, section 4.2.2).
var k = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
var (
	// initial is the initial state (section 5.3.3) in the order of the SHA
	// instructions' registers: F E B A, H G D C.
	initial = [8]uint32{
		0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
		0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372,
	}

	// wordAt is where it has the words A to H.
	wordAt = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

	// firstk are the constants of the first eight rounds in the order in which an
	// extend has the words of the value: A B E F, C D G H.
	firstk = [8]uint32{k[0], k[1], k[4], k[5], k[2], k[3], k[6], k[7]}

	// padding are schedule and constants, added, of the second block of an extend.
	padding = paddingSchedule()

	// flip is a shuffle that swaps the bytes of each word.
	flip = [16]byte{3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12}
)

// paddingSchedule expands the padding of a message of 64 bytes (sections 5.1.1 and
// 6.2.2) and adds the constants.
func paddingSchedule() (w [64]uint32) {
	w[0], w[15] = 1<<31, 64*8
	for t := 16; t < len(w); t++ {
		a, b := w[t-15], w[t-2]
		s0 := bits.RotateLeft32(a, -7) ^ bits.RotateLeft32(a, -18) ^ a>>3
		s1 := bits.RotateLeft32(b, -17) ^ bits.RotateLeft32(b, -19) ^ b>>10
		w[t] = s1 + w[t-7] + s0 + w[t-16]
	}
	for t := range w {
		w[t] += k[t]
	}
	return w
}
