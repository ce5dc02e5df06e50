package payload

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// errArchive says that an archive is not one that is unpacked.
var errArchive = errors.New("the archive is refused")

// unpack unpacks an archive into a new, empty directory, and returns how many files
// it had. Together they may have most bytes. Which kind of archive it is, its first bytes say: zip, gzip around tar, or
// else tar. It takes regular files and directories below it, each once, and nothing
// else: no link, no device, no path that leads elsewhere.
func unpack(archive, dir string, most int64) (files uint64, err error) {
	f, err := os.Open(archive)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	u := &unpacker{root: root, most: most, left: most}
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		err = u.zip(f)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(f); err == nil {
			err = u.tar(z)
		}
	default:
		err = u.tar(f)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errArchive, err)
	}
	return u.files, nil
}

// unpacker puts the entries of an archive into a directory.
type unpacker struct {
	root    *os.Root
	entries int
	files   uint64
	most    int64 // bytes that files may have
	left    int64 // of most
}

func (u *unpacker) tar(r io.Reader) error {
	// Headers that tell about the next entry are read whole; a reader that ends
	// bounds them, too.
	t := tar.NewReader(io.LimitReader(r, u.most+maxEntries*(1<<10)))
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = u.file(h.Name, h.FileInfo().Mode(), t)
		case tar.TypeDir:
			err = u.directory(h.Name)
		case tar.TypeXGlobalHeader: // says nothing about a file
		default:
			err = fmt.Errorf("%q is neither a file nor a directory (type %q)", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := countZip(f, st.Size()); err != nil {
		return err
	}
	z, err := zip.NewReader(f, st.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		switch mode := e.Mode(); {
		case strings.HasSuffix(e.Name, "/") && mode.IsDir():
			err = u.directory(e.Name)
		case mode.IsRegular():
			err = u.zipped(e)
		default:
			err = fmt.Errorf("%q is neither a file nor a directory (%v)", e.Name, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(e *zip.File) (err error) {
	r, err := e.Open()
	if err != nil {
		return fmt.Errorf("%q: %w", e.Name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return u.file(e.Name, e.Mode(), r)
}

// countZip refuses a zip archive of too many entries before its directory is read,
// all of which is held in memory: it counts what may be the header of one (APPNOTE,
// section 4.3.12).
func countZip(r io.ReaderAt, size int64) error {
	header := []byte("PK\x01\x02")
	b := make([]byte, 64<<10)
	count := 0
	for at := int64(0); at < size; at += int64(len(b) - len(header) + 1) {
		n, err := r.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if count += bytes.Count(b[:n], header); count > maxEntries {
			return errEntries
		}
	}
	return nil
}

var errEntries = fmt.Errorf("it has more than %d entries", maxEntries)

// local returns the path of an entry below the directory.
func (u *unpacker) local(name string) (string, error) {
	if u.entries++; u.entries > maxEntries {
		return "", errEntries
	}
	path := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	switch {
	case len(name) > maxPath:
		return "", fmt.Errorf("a path of %d bytes, limit is %d", len(name), maxPath)
	case path == "" || path == ".":
		return ".", nil
	case strings.ContainsAny(path, "\x00\\") || !filepath.IsLocal(path) || filepath.ToSlash(filepath.Clean(path)) != path:
		return "", fmt.Errorf("the path %q leads elsewhere, or is not written as it is", name)
	case strings.Count(path, "/") >= maxDepth:
		return "", fmt.Errorf("%q is deeper than %d directories", name, maxDepth)
	}
	return path, nil
}

func (u *unpacker) directory(name string) error {
	path, err := u.local(name)
	if err != nil || path == "." {
		return err
	}
	return u.root.MkdirAll(path, 0o700)
}

// file writes a file, which nobody but the agent may read, or run if somebody could.
func (u *unpacker) file(name string, mode fs.FileMode, r io.Reader) (err error) {
	path, err := u.local(name)
	if err != nil {
		return err
	}
	if path == "." {
		return fmt.Errorf("the path %q is that of a directory", name)
	}
	if err := u.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	perm := fs.FileMode(0o600)
	if mode&0o111 != 0 {
		perm = 0o700
	}
	f, err := u.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(r, u.left+1))
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if u.left -= n; u.left < 0 {
		return fmt.Errorf("its files have more than %d bytes", u.most)
	}
	u.files++
	return nil
}
