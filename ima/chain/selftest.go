package chain

import (
	"crypto/sha256"
	"slices"
)

// longest is the longest message of the self-test: up to five blocks, so each way
// that the last two of them can be filled comes with 0 to 3 blocks before.
const longest = 5*sha256.BlockSize - 9 // bytes

// example is messages of every length up to longest, with their hashes, and a value
// before and after it is extended with these.
type example struct {
	messages    [][]byte
	sums        [][sha256.Size]byte
	start, ends [sha256.Size]byte
	near        Near
}

func newExample() *example {
	var text [longest]byte
	for i := range text {
		text[i] = byte(i*i>>3 ^ i)
	}
	e := &example{start: sha256.Sum256(text[:]), near: Near{text[:], text[:]}}
	for n := range longest + 1 {
		e.messages = append(e.messages, text[longest-n:])
	}
	e.sums = make([][sha256.Size]byte, len(e.messages))
	e.ends = e.start
	portableExtend(&e.ends, e.messages, e.sums, Near{})
	return e
}

// pass tests the kernel: the messages, at once and then in short calls, must have
// the hashes and give the value that crypto/sha256 says. It takes less than a
// millisecond.
func (k kernels) pass() bool {
	e := newExample()
	got := make([][sha256.Size]byte, len(e.messages))
	value, short, bare := e.start, e.start, e.start
	k.extend(&value, nil, e.messages, got, e.near)
	k.extendSums(&value, got[len(got)-1:])
	if value != e.ends || !slices.Equal(got, e.sums) {
		return false
	}
	clear(got)
	var due [][sha256.Size]byte
	for i, size := 0, 1; i < len(e.messages); i, size = i+size, size+1 {
		end := min(i+size, len(e.messages))
		k.extend(&short, due, e.messages[i:end], got[i:end], Near{})
		due = got[end-1 : end]
	}
	k.extendSums(&short, due)
	k.extendSums(&bare, e.sums)
	return short == e.ends && bare == e.ends && slices.Equal(got, e.sums)
}

// lanesPass tests the lanes: the messages in calls of every length, which extend with
// the hashes of the call before. A hash that is wrong makes the value wrong, too.
func (k kernels) lanesPass() bool {
	e := newExample()
	got := make([][sha256.Size]byte, len(e.messages))
	value := e.start
	var due [][sha256.Size]byte
	for i, size := 0, maxDue; i < len(e.messages); size -= size/4 + 1 {
		end := min(i+size, len(e.messages))
		k.overlap(&value, due, e.messages[i:end], got[i:end], e.near)
		due, i = got[i:end], end
	}
	k.extendSums(&value, due)
	return value == e.ends
}
