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
	before   *[8][width]uint32 // each word of all states before the block: state, or the initial ones
	state    [8][width]uint32  // after it
	messages *[width]*byte
	sizes    *[width]uint32 // of the messages
	block    uint32         // which one is next
	used     uint16         // lanes that have a message; bit i is lane i

	// for the time of a block:
	left, ending [width]uint32
	busy         uint16
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
	var o ordered
	var room [maxDue]uint8
	order := asTheyCome[:len(messages)]
	every := o.put(messages, order)
	if every == 0 {
		order = inOrder(messages, &room)
		o.put(messages, order)
	}
	var l sixteen
	var hashed [width][sha256.Size]byte
	var numbers [later + width + later]uint64 // of index entries to fetch, of the last group
	for first := 0; first < len(messages); first += width {
		group := order[first:min(first+width, len(messages))]
		sizes := (*[width]uint32)(o.sizes[first:])
		blocks := every
		if len(group) < width || every == 0 {
			blocks = worthwhile(sizes[:len(group)])
		}
		if blocks == 0 {
			for _, m := range group {
				kernelSum(messages[m], &sums[m])
			}
			continue
		}
		l.before, l.messages, l.sizes = &initialLanes, (*[width]*byte)(o.messages[first:]), sizes
		l.block, l.used = 0, 1<<len(group)-1
		fetched := 0
		for ; l.block < blocks; l.block++ {
			if len(due) < beside {
				hashLanes(&l)
			} else {
				at := min(fetched, width-beside)
				hashLanesBeside(&l, value, &due[0], &place, &numbers[later+at], &l.messages[at])
				due, fetched = due[beside:], at+beside
			}
			l.before = &l.state
		}
		if fetched < width {
			fetch(&place, &numbers[later+fetched], width-fetched)
		}
		*(*[later]uint64)(numbers[:]) = *(*[later]uint64)(numbers[width:])
		if len(group) == width && every != 0 {
			there := (*[width][sha256.Size]byte)(sums[first:])
			sumLanes(&l, there)
			for lane := range there {
				numbers[later+lane] = indexOf(&there[lane], uint64(place.numbers))
			}
			continue
		}
		sumLanes(&l, &hashed)
		for lane, m := range group {
			sums[m] = hashed[lane]
			numbers[later+lane] = indexOf(&hashed[lane], uint64(place.numbers))
		}
	}
	fetch(&place, &numbers[later], width+later)
	kernelExtendSums(value, due)
}

const (
	// longestLane bounds messages in lanes, far below what does not fit a word there.
	longestLane = 1 << 20 // bytes

	// tooLong is the size of all messages that have a block more, or many.
	tooLong = longestLane + sha256.BlockSize // bytes
)

// ordered are messages in the order in which they are hashed.
type ordered struct {
	messages [maxDue]*byte
	sizes    [maxDue]uint32 // or tooLong
}

// put returns how many blocks each message has, or 0 if they differ or are too long.
func (o *ordered) put(messages [][]byte, order []uint8) (every uint32) {
	all := blocksOf(uint32(min(len(messages[0]), tooLong)))
	differ := uint32(0)
	for i, n := range order {
		m := messages[n]
		size := uint32(min(len(m), tooLong))
		o.messages[i], o.sizes[i] = unsafe.SliceData(m), size
		differ |= blocksOf(size) ^ all
	}
	if differ != 0 || all > blocksOf(longestLane) {
		return 0
	}
	return all
}

// worthwhile returns how many blocks the longest message of a group has, or 0 if they
// are hashed in less time one after the other.
func worthwhile(sizes []uint32) (blocks uint32) {
	all := uint32(0)
	for _, size := range sizes {
		n := blocksOf(size)
		all, blocks = all+n, max(blocks, n)
	}
	if all < fewest*blocks || blocks > blocksOf(longestLane) {
		return 0
	}
	return blocks
}

// blocksOf is how many blocks a message of a size is hashed in.
func blocksOf(size uint32) uint32 { return (size+8)/sha256.BlockSize + 1 }

// inOrder returns which messages are hashed one after the other: those of fewer blocks
// first, so that those that are hashed at once end at once.
func inOrder(messages [][]byte, room *[maxDue]uint8) []uint8 {
	const most = 16 // blocks; what has more is last
	var next [most + 2]uint8
	for _, m := range messages {
		next[min(blocksOf(uint32(len(m))), most)+1]++
	}
	for n := range most {
		next[n+1] += next[n]
	}
	for i, m := range messages {
		n := &next[min(blocksOf(uint32(len(m))), most)]
		room[*n] = uint8(i)
		*n++
	}
	return room[:len(messages)]
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
// is. It fetches as many index entries from numbers on, and what lies far behind as many
// messages from ahead on.
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
