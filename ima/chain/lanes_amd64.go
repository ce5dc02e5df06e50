//go:build !purego

package chain

//lint:file-ignore U1000 the assembly uses some of these alone

import (
	"crypto/sha256"
	"unsafe"

	"golang.org/x/sys/cpu"
)

const (
	// width is how many messages the lanes of AVX-512 hash at once.
	width = 16

	// beside is how many sums a value is extended with in the time of a block of each.
	beside = 8

	// fewest is how many blocks the SHA instructions hash in the time of a block of all
	// lanes.
	fewest = 6
)

// lanesSupported reports whether the processor, and the operating system, have what
// the lanes need beside what the kernel does: AVX512VL where a part of a register above
// 15 is stored.
func lanesSupported() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasBMI2
}

// sixteen are messages that are hashed side by side, a block of each at a time.
type sixteen struct {
	state   [8][width]uint32 // each word of all states
	message [width]*byte
	size    [width]uint32 // of the message
	block   uint32        // which one is next
	used    uint16        // lanes that have a message; bit i is lane i

	// for the time of a block:
	left, ending, bits [width]uint32
	busy               uint16
}

var (
	// initialLanes are the initial state (FIPS 180-4, section 5.3.3).
	initialLanes = func() (s [8][width]uint32) {
		for w, i := range wordAt {
			for l := range width {
				s[w][l] = initial[i]
			}
		}
		return s
	}()

	// endings are the bit behind a message (section 5.1.1), after so many bytes of it in
	// the block, and none.
	endings = func() (e [sha256.BlockSize + 1][sha256.BlockSize]byte) {
		for i := range sha256.BlockSize {
			e[i][i] = 0x80
		}
		return e
	}()

	most  uint32 = sha256.BlockSize
	eight uint32 = 8 // bytes of the length
)

// later is how many index entries are fetched before that of which the slots are.
const later = 4

// lanesOverlap hashes messages, at most maxDue, while it extends value with what is due.
func lanesOverlap(value *[sha256.Size]byte, due [][sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near) {
	place := placeOf(near)
	var l sixteen
	var hashed [width][sha256.Size]byte
	var numbers [later + width + later]uint64 // of index entries to fetch, of the last group
	var room [maxDue]uint8
	for order := inOrder(messages, &room); len(order) > 0; {
		group := order[:min(width, len(order))]
		order = order[len(group):]
		blocks := l.load(messages, group)
		if blocks == 0 {
			for _, m := range group {
				kernelSum(messages[m], &sums[m])
			}
			continue
		}
		fetched := 0
		for ; l.block < blocks; l.block++ {
			if len(due) < beside {
				hashLanes(&l)
				continue
			}
			at := min(fetched, width-beside)
			hashLanesBeside(&l, value, &due[0], &place, &numbers[later+at], &l.message[at])
			due, fetched = due[beside:], at+beside
		}
		if fetched < width {
			fetch(&place, &numbers[later+fetched], width-fetched)
		}
		sumLanes(&l, &hashed)
		*(*[later]uint64)(numbers[:]) = *(*[later]uint64)(numbers[width:])
		for lane, m := range group {
			sums[m] = hashed[lane]
			numbers[later+lane] = indexOf(&hashed[lane], uint64(place.numbers))
		}
	}
	fetch(&place, &numbers[later], width+later)
	kernelExtendSums(value, due)
}

// longestLane bounds messages in lanes, far below what does not fit a word there.
const longestLane = 1 << 20 // bytes

// load sets the lanes to the messages of a group, and returns how many blocks the
// longest has; or 0 if they are hashed in less time one after the other.
func (l *sixteen) load(messages [][]byte, group []uint8) (blocks uint32) {
	all := 0
	for lane, n := range group {
		m := messages[n]
		if len(m) > longestLane {
			return 0
		}
		l.message[lane], l.size[lane] = unsafe.SliceData(m), uint32(len(m))
		n := blocksOf(m)
		all, blocks = all+n, max(blocks, uint32(n))
	}
	if all < fewest*int(blocks) {
		return 0
	}
	l.state, l.block, l.used = initialLanes, 0, 1<<len(group)-1
	return blocks
}

// blocksOf is how many blocks a message is hashed in.
func blocksOf(m []byte) int { return (len(m)+8)/sha256.BlockSize + 1 }

// inOrder returns which messages are hashed one after the other: those of fewer blocks
// first, so that those that are hashed at once end at once.
func inOrder(messages [][]byte, room *[maxDue]uint8) []uint8 {
	if alike(messages) {
		return asTheyCome[:len(messages)]
	}
	const most = 16 // blocks; what has more is last
	var next [most + 2]uint8
	for _, m := range messages {
		next[min(blocksOf(m), most)+1]++
	}
	for n := range most {
		next[n+1] += next[n]
	}
	for i, m := range messages {
		n := &next[min(blocksOf(m), most)]
		room[*n] = uint8(i)
		*n++
	}
	return room[:len(messages)]
}

// alike reports whether all messages have as many blocks.
func alike(messages [][]byte) bool {
	n := blocksOf(messages[0])
	for _, m := range messages {
		if blocksOf(m) != n {
			return false
		}
	}
	return true
}

// asTheyCome is the order of messages that are alike.
var asTheyCome = func() (order [maxDue]uint8) {
	for i := range order {
		order[i] = uint8(i)
	}
	return order
}()

// hashLanes moves the states of the busy lanes past a block.
//
//go:noescape
func hashLanes(l *sixteen)

// hashLanesBeside is hashLanes, while it extends value with as many sums as beside
// is. It fetches as many index entries from numbers on.
//
//go:noescape
func hashLanesBeside(l *sixteen, value, sums *[sha256.Size]byte, near *place, numbers *uint64, ahead **byte)

// sumLanes writes the hashes that the states are.
//
//go:noescape
func sumLanes(l *sixteen, sums *[width][sha256.Size]byte)

// fetch fetches the index entries of n numbers, and the slots that the entries tell of
// that are as many as later is before them.
//
//go:noescape
func fetch(near *place, numbers *uint64, n int)
