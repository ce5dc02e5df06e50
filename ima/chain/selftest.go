package chain

import (
	"crypto/sha256"
	"slices"
)

type (
	extendFunc     = func(value *[sha256.Size]byte, messages [][]byte, sums [][sha256.Size]byte, near Near)
	extendSumsFunc = func(value *[sha256.Size]byte, sums [][sha256.Size]byte)
)

// longest is the longest message of the self-test: up to five blocks, so each way
// that the last two of them can be filled comes with 0 to 3 blocks before.
const longest = 5*sha256.BlockSize - 9 // bytes

// passes tests a kernel: messages of every length up to longest, at once and then
// in short calls, must have the hashes and give the value that crypto/sha256 says.
// It takes less than a millisecond.
func passes(extend extendFunc, extendSums extendSumsFunc) bool {
	var text [longest]byte
	for i := range text {
		text[i] = byte(i*i>>3 ^ i)
	}
	messages := make([][]byte, 0, longest+1)
	for n := range longest + 1 {
		messages = append(messages, text[longest-n:])
	}
	want, got := make([][sha256.Size]byte, len(messages)), make([][sha256.Size]byte, len(messages))
	start := sha256.Sum256(text[:])
	wantValue, value, short, bare := start, start, start, start
	portableExtend(&wantValue, messages, want, Near{})

	extend(&value, messages, got, Near{text[:], text[:]})
	if value != wantValue || !slices.Equal(got, want) {
		return false
	}
	clear(got)
	for i, size := 0, 0; i < len(messages); i, size = i+size, size+1 {
		end := min(i+size, len(messages))
		extend(&short, messages[i:end], got[i:end], Near{})
	}
	extendSums(&bare, want)
	return short == wantValue && bare == wantValue && slices.Equal(got, want)
}
