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
	sums := make([]sum, len(messages))
	defer chain.Use("auto")
	for _, way := range ways {
		if err := chain.Use(way); err != nil {
			t.Fatal(err)
		}
		for size := 1; size <= len(messages); size += 1 + size/2 {
			var r chain.Register
			clear(sums)
			for i := 0; i < len(messages); i += size {
				end := min(i+size, len(messages))
				r.Extend(messages[i:end], sums[i:end], chain.Near{})
			}
			for i := range want {
				if sums[i] != want[i] {
					t.Fatalf("%s, %d at a time: message %d of %d bytes has another hash", way, size, i, len(messages[i]))
				}
			}
		}
	}
}
