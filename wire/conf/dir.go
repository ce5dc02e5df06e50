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
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f.Close, nil
}
