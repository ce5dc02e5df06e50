// Package keep keeps small values of the agent's on disk, each as the target of a
// symbolic link that leads nowhere.
//
// The kernel's usual IMA policies measure what root opens to read (ima_policy=tcb:
// FILE_CHECK, MAY_READ, euid 0; kernel: security/integrity/ima/ima_policy.c). A file
// that the agent changes and reads again would be an entry of its own machine's list
// each time, with a digest that no runtime policy can know, and take the machine's trust
// away. To read a link opens nothing. Nobody follows these: they are text, for readlink
// and ls -l as well.
package keep

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"quicklime/wire/conf"
)

// Max bounds a value: a target has to fit a page with the byte that ends it (PATH_MAX,
// linux/limits.h).
const Max = 4095 // bytes

// Write gives path a value, whole and durable: after a crash or an error it has the old
// one or the new one. A value is 1 to Max bytes without a zero.
func Write(path, value string) error {
	if err := check(path, value); err != nil {
		return err
	}
	link := filepath.Join(filepath.Dir(path), ".new-"+rand.Text())
	if err := os.Symlink(value, link); err != nil {
		return err
	}
	if err := os.Rename(link, path); err != nil {
		return errors.Join(err, os.Remove(link))
	}
	return conf.SyncDir(filepath.Dir(path))
}

// Create is Write for who watches the directory and is to see one new name. The error is
// fs.ErrExist if path has a value.
func Create(path, value string) error {
	if err := check(path, value); err != nil {
		return err
	}
	if err := os.Symlink(value, path); err != nil {
		return err
	}
	return conf.SyncDir(filepath.Dir(path))
}

func check(path, value string) error {
	if value == "" || len(value) > Max || strings.Contains(value, "\x00") {
		return fmt.Errorf("%s: a value of %d bytes cannot be kept: want 1 to %d, none of them zero", path, len(value), Max)
	}
	return nil
}

// Read returns the value of path. The error is fs.ErrNotExist if it has none; what is
// there and is no link is another error.
func Read(path string) (string, error) {
	value, err := os.Readlink(path)
	if errors.Is(err, syscall.EINVAL) {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: errors.New("it is not a symbolic link, as which this is kept: restore it, or remove it to begin anew")}
	}
	return value, err
}
