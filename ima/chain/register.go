package chain

import "crypto/sha256"

// maxDue bounds the sums that a Register is behind.
const maxDue = 128

// enough is how many messages are worth being hashed side by side: it takes a
// processor some microseconds to have the unit for that ready.
const enough = 32

// A Register is a PCR of the SHA-256 bank that is extended with hashes of messages.
// It may be behind with the second while the first are there: what a call of Extend
// has hashed is extended while the next one hashes. The zero Register has the value
// of a PCR after reset.
type Register struct {
	value [sha256.Size]byte
	due   [maxDue][sha256.Size]byte // what value is not extended with yet
	n     int                       // how many they are

	workspace workspace // of the kernel; what it holds does not matter
}

// Set begins with a value.
func (r *Register) Set(value *[sha256.Size]byte) { r.value, r.n = *value, 0 }

// Extend hashes each message and extends the register with each hash, in order:
//
//	sums[i] = SHA-256(messages[i])
//	value = SHA-256(value ‖ sums[i])
//
// It panics if there are fewer sums than messages. It allocates nothing.
//
// Near is where the sums are looked for afterwards. The kernel has the processor fetch
// that meanwhile.
func (r *Register) Extend(messages [][]byte, sums [][sha256.Size]byte, near Near) {
	sums = sums[:len(messages)]
	for len(messages) > 0 {
		n := min(len(messages), maxDue)
		switch {
		case n >= enough && uses(lanes):
			lanesOverlap(&r.value, r.due[:r.n], messages[:n], sums, near)
			r.n = copy(r.due[:], sums[:n])
		case uses(kernel):
			kernelExtend(&r.value, r.due[:r.n], messages[:n], sums, near, &r.workspace)
			r.n = copy(r.due[:], sums[n-1:n])
		default:
			r.settle()
			portableExtend(&r.value, messages[:n], sums, near)
		}
		messages, sums = messages[n:], sums[n:]
	}
}

// ExtendSums is ExtendSums.
func (r *Register) ExtendSums(sums [][sha256.Size]byte) {
	r.settle()
	ExtendSums(&r.value, sums)
}

// Value is the value after all that it was extended with.
func (r *Register) Value() [sha256.Size]byte {
	r.settle()
	return r.value
}

func (r *Register) settle() {
	if r.n > 0 {
		ExtendSums(&r.value, r.due[:r.n])
		r.n = 0
	}
}
