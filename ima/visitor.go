package ima

import "crypto/sha256"

// Batch are entries that follow one another in a list, with their digests. It is
// valid only during the call.
type Batch struct {
	First   uint64              // index of the first entry in the whole list
	Entries []Entry             // as parsed
	Sums    [][sha256.Size]byte // SHA-256 of what each entry's template hashes
}

// Visitor is shown a list batch by batch, in order.
type Visitor interface{ Visit(Batch) }
