package payload

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"quicklime/wire/payload/archive"
)

// errArchive says that an archive is not one that is unpacked.
var errArchive = errors.New("the archive is refused")

// unpack unpacks an archive into a new, empty directory, and returns how many files
// it had. Together they may have most bytes. What it takes, quicklime/wire/payload/archive
// says; os.Root holds it in the directory whatever that says.
func unpack(name, dir string, most int64) (files uint64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	files, err = archive.Walk(f, st.Size(), most, unpacker{root}.put)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errArchive, err)
	}
	return files, nil
}

// unpacker puts the entries of an archive into a directory.
type unpacker struct{ root *os.Root }

// put writes a file, which nobody but the agent may read, or run if somebody could.
func (u unpacker) put(e archive.Entry, contents io.Reader) (err error) {
	if e.Dir {
		return u.root.MkdirAll(e.Path, 0o700)
	}
	if err := u.root.MkdirAll(filepath.Dir(e.Path), 0o700); err != nil {
		return err
	}
	perm := os.FileMode(0o600)
	if e.Executable {
		perm = 0o700
	}
	f, err := u.root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, contents)
	return err
}
