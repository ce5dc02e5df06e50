package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// EnsureDir makes dir, and refuses one in which others could replace our files (I05).
func EnsureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others may replace the keys in it; run: chmod go-w %[1]s", dir, perm)
	}
	return nil
}

// Lock waits until nobody else writes in dir. flock(2) belongs to the open file,
// so it excludes other goroutines as it does other processes, and ends with its
// owner.
func Lock(dir string) (unlock func() error, err error) {
	unlock, _, err = lock(filepath.Join(dir, ".lock"), syscall.LOCK_EX)
	return unlock, err
}

// TryLock is Lock of a file of its own. It does not wait, and returns false if somebody
// else has it.
func TryLock(file string) (unlock func() error, ok bool, err error) {
	return lock(file, syscall.LOCK_EX|syscall.LOCK_NB)
}

func lock(file string, how int) (unlock func() error, ok bool, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, false, f.Close()
	case err != nil:
		return nil, false, errors.Join(fmt.Errorf("lock %s: %w", file, err), f.Close())
	}
	return f.Close, true, nil
}
