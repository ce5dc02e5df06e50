package conf

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
)

// ReplaceFile gives a file new contents and its mode, whole: after a crash or an
// error it has the old contents or the new ones.
func ReplaceFile(file string, perm os.FileMode, b []byte) (err error) {
	// Not for reading: what root opens to read, IMA may measure.
	f, err := os.OpenFile(filepath.Join(filepath.Dir(file), ".new-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(file))
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
