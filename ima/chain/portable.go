package chain

import "crypto/sha256"

func portableExtend(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
	v := *value
	for i, m := range messages {
		sums[i] = sha256.Sum256(m)
		v = extended(v, &sums[i])
	}
	*value = v
	near.Fetch(sums)
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
