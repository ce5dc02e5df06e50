package payload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// place puts the directory from to its place, in one step, and what was there before
// to where from was.
func place(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) {
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return nil
}

// wipe overwrites every file below path with zeros and removes it all. Whoever has
// one of them open reads zeros from then on. A file of somebody else, as a program that
// was run there leaves, is none of the payload's and is only removed. What cannot be
// overwritten keeps nothing else from it.
func wipe(path string) error {
	var errs []error
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			err = enter(file)
		}
		if err == nil && d.Type().IsRegular() {
			err = overwrite(file)
		}
		errs = append(errs, err)
		return nil
	})
	return errors.Join(errors.Join(errs...), err, os.RemoveAll(path))
}

// enter makes sure that a directory of the agent's can be read and emptied, whatever mode
// a program gave it.
func enter(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil || !mine(st) || st.Mode().Perm()&0o700 == 0o700 {
		return err
	}
	return os.Chmod(dir, 0o700)
}

func overwrite(file string) (err error) {
	if st, err := os.Lstat(file); err != nil || !mine(st) {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < st.Size(); at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), st.Size()-at)], at); err != nil {
			return err
		}
	}
	return nil
}
