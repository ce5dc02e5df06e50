package chain_test

import (
	"syscall"
	"testing"

	"quicklime/ima/chain"
)

// I04: nothing before a message or behind it is read, even where nothing is mapped, and the
// hashes are right wherever in memory messages are.
func TestI04_NothingBesideAMessageIsRead(t *testing.T) {
	page := syscall.Getpagesize()
	all, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(all)
	for _, hole := range [][]byte{all[:page], all[2*page:]} {
		if err := syscall.Mprotect(hole, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	inside := all[page : 2*page]
	for i := range inside {
		inside[i] = byte(i * 7)
	}
	var messages [][]byte
	for n := range 320 {
		messages = append(messages, inside[page-n:], inside[:n:n])
	}
	_, want := oracle(sum{}, messages)
	for _, way := range ways {
		use(t, way)
		for size := 1; size <= len(messages); size += 1 + size/2 {
			hashes(t, messages, want, size)
		}
		for first := range 16 { // each length is in each lane once
			hashes(t, messages[first:], want[first:], 128)
		}
	}
}

// hashes checks the hashes of messages, so many at a time.
func hashes(t *testing.T, messages [][]byte, want []sum, size int) {
	t.Helper()
	var r chain.Register
	sums := make([]sum, len(messages))
	for i := 0; i < len(messages); i += size {
		end := min(i+size, len(messages))
		r.Extend(messages[i:end], sums[i:end], chain.Near{})
	}
	for i := range want {
		if sums[i] != want[i] {
			t.Fatalf("%s, %d at a time: message %d of %d bytes has another hash", chain.Kernel(), size, i, len(messages[i]))
		}
	}
}
