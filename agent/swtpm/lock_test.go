package swtpm

import (
	"syscall"
	"testing"
)

func TestAProcessThatStartsDoesNotKeepTheLock(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(lock.Fd())) // what another process has between fork and exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	if _, err := lockDir(dir); err == nil {
		t.Fatal("locked twice")
	}
	unlockDir(lock)
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlockDir(again)
}
