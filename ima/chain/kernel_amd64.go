//go:build !purego

package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/cpu"
)

const (
	// batch is how many messages are made ready at a time.
	batch = 16

	// stretch bounds a call of assembly, which cannot be preempted: about 50 µs.
	stretch = 1024 // sums, or blocks
)

// kernelSupported reports whether the processor has the kernel's instructions:
// SHA (CPUID leaf 7, EBX bit 29), SSSE3, SSE4.1 and, where the operating system
// saves its registers, AVX.
func kernelSupported() bool {
	const leaf, sha = 7, 1 << 29
	last, b := cpuid(leaf)
	return last >= leaf && b&sha != 0 && cpu.X86.HasSSSE3 && cpu.X86.HasSSE41 && cpu.X86.HasAVX
}

// workspace is too large to be cleared for each call.
type workspace struct{ jobs [batch]job }

// kernelExtend hashes messages, at least one, while it extends value with what is due and
// with all of their hashes but the last.
func kernelExtend(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near, w *workspace) {
	place := placeOf(near)
	i := 0
	if len(due) == 0 { // nothing to extend with while the first is hashed
		kernelSum(messages[0], &sums[0])
		place.next = place.of(&sums[0])
		due, i = sums[:1], 1
	}
	last := len(due) - 1
	kernelExtendSums(value, due[:last])
	sum := &due[last]
	for i < len(messages) {
		n := prepare(w.jobs[:], messages[i:])
		extendAndHash(value, sum, &messages[i], &w.jobs[0], &sums[i], n, &place)
		i += n
		sum = &sums[i-1]
	}
}

func kernelExtendSums(value *[sha256.Size]byte, sums [][sha256.Size]byte) {
	for len(sums) > 0 {
		n := min(len(sums), stretch)
		extend(value, &sums[0], n)
		sums = sums[n:]
	}
}

// place is a Near as extendAndHash takes it.
type place struct {
	index   *byte
	numbers int
	slots   *byte
	next    *byte // index entry of the last hash, whose slots are not fetched yet
}

var nowhere [indexEntry]byte // fetching from there does no harm

func placeOf(near Near) place {
	if len(near.Index) < indexEntry || len(near.Slots) == 0 {
		near = Near{nowhere[:], nowhere[:]}
	}
	return place{&near.Index[0], len(near.Index) / indexEntry, &near.Slots[0], &near.Index[0]}
}

// of is the index entry of a hash.
func (p *place) of(sum *[sha256.Size]byte) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(p.index), indexEntry*indexOf(sum, uint64(p.numbers))))
}

// ending is how many bytes of a message its last block has room for.
const ending = sha256.BlockSize - 9

// inTwo reports whether a message has two blocks, the second with its end. Most of a list
// are such, and extendAndHash makes them ready itself, while its lanes wait.
func inTwo(m []byte) bool { return uint(len(m)-sha256.BlockSize) <= ending }

// job is what lane B hashes of another message in a step of extendAndHash: the last two
// blocks, or the only one.
type job struct {
	state  [8]uint32 // after the blocks before, as initial has it
	first  int       // offset of the last block but one in the message; negative: in the middle of the buffer
	second int       // offset of the last block in the buffer
	buffer [3 * sha256.BlockSize]byte
}

// prepare makes jobs of the messages that need one, as many as there is room for, and
// returns how many messages that is.
func prepare(jobs []job, messages [][]byte) int {
	n := min(len(jobs), len(messages))
	var waiting lane
	for i, m := range messages[:n] {
		if inTwo(m) {
			continue
		}
		if before := jobs[i].pad(m); before > 0 {
			waiting = waiting.with(lane{&jobs[i].state, m[:before]})
		}
	}
	waiting.alone()
	return n
}

// pad fills j and returns the length of the whole blocks before what it holds. The
// end of the message is copied so that its last, partial block begins in the middle
// of the buffer; what comes before that there is not used.
func (j *job) pad(m []byte) (before int) {
	const block = sha256.BlockSize
	rest := len(m) % block
	whole := len(m) - rest
	j.state = initial
	j.first, j.second = -1, block
	middle, end := (*[block]byte)(j.buffer[block:]), (*[block]byte)(j.buffer[2*block:])
	*middle = [block]byte{}
	if whole > 0 {
		copyBlock((*[block]byte)(j.buffer[rest:]), (*[block]byte)(m[len(m)-block:]))
	} else {
		copy(middle[:], m)
	}
	middle[rest] = 0x80
	last := middle
	if rest >= block-8 { // the length has a block of its own
		*end = [block]byte{}
		last, j.second = end, 2*block
	} else if whole > 0 {
		whole -= block
		j.first = whole
	}
	binary.BigEndian.PutUint64(last[block-8:], uint64(len(m))*8)
	return whole
}

// copyBlock copies in four pieces, which makes no call.
func copyBlock(to, from *[sha256.BlockSize]byte) {
	type piece = [16]byte
	*(*piece)(to[0:]) = *(*piece)(from[0:])
	*(*piece)(to[16:]) = *(*piece)(from[16:])
	*(*piece)(to[32:]) = *(*piece)(from[32:])
	*(*piece)(to[48:]) = *(*piece)(from[48:])
}

// kernelSum hashes a message.
func kernelSum(m []byte, sum *[sha256.Size]byte) {
	const block = sha256.BlockSize
	var end [2 * block]byte
	state, whole := initial, 0
	if len(m) > block+ending {
		whole = len(m) / block * block
		lane{&state, m[:whole]}.alone()
	}
	n := copy(end[:], m[whole:])
	end[n] = 0x80
	size := (n+8)/block*block + block
	binary.BigEndian.PutUint64(end[size-8:], uint64(len(m))*8)
	lane{&state, end[:size]}.alone()
	sumOf(&state, sum)
}

// lane is blocks to hash, whole ones, and the state before them.
type lane struct {
	state  *[8]uint32
	blocks []byte
}

// with hashes two lanes until one of them ends, and returns the other.
func (l lane) with(o lane) lane {
	for len(l.blocks) > 0 && len(o.blocks) > 0 {
		n := min(len(l.blocks)/sha256.BlockSize, len(o.blocks)/sha256.BlockSize, stretch)
		hash2(l.state, o.state, &l.blocks[0], &o.blocks[0], n)
		l.blocks, o.blocks = l.blocks[n*sha256.BlockSize:], o.blocks[n*sha256.BlockSize:]
	}
	if len(l.blocks) == 0 {
		return o
	}
	return l
}

// alone hashes the lane to its end.
func (l lane) alone() {
	for len(l.blocks) > 0 {
		n := min(len(l.blocks)/sha256.BlockSize, stretch)
		hash(l.state, &l.blocks[0], n)
		l.blocks = l.blocks[n*sha256.BlockSize:]
	}
}

// extendAndHash extends value with *sum and then with sums[0] to sums[n-2], while
// it ends the hashes of n messages and writes them to sums[0] to sums[n-1]. n > 0.
// It fetches where each of these is looked for.
//
//go:noescape
func extendAndHash(value, sum *[sha256.Size]byte, messages *[]byte, jobs *job, sums *[sha256.Size]byte, n int, near *place)

// extend extends value with n sums. n > 0.
//
//go:noescape
func extend(value, sums *[sha256.Size]byte, n int)

// hash2 moves two states past n blocks at p and q. n > 0.
//
//go:noescape
func hash2(a, b *[8]uint32, p, q *byte, n int)

// hash moves a state past n blocks at p. n > 0.
//
//go:noescape
func hash(a *[8]uint32, p *byte, n int)

// sumOf writes the hash that a state is.
//
//go:noescape
func sumOf(a *[8]uint32, sum *[sha256.Size]byte)

// cpuid returns the highest leaf of CPUID, and what a leaf says in EBX.
func cpuid(leaf uint32) (last, ebx uint32)
