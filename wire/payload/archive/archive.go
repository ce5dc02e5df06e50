// Package archive reads what a payload is unpacked from. Which kind of archive it is,
// its first bytes say:
//
//	50 4B 03 04, 50 4B 05 06  zip (APPNOTE 6.3.10, sections 4.3.7 and 4.3.16)
//	1F 8B                     gzip (RFC 1952) around tar
//	else                      tar (POSIX.1-2017, pax)
//
// It takes regular files and directories below one directory, each once, within bounds,
// and nothing else: no link, no device, no path that leads elsewhere. The machine that
// unpacks and the operator's program that sends read by the same rules, so that what the
// one would refuse the other does not send.
//
// The package is pure: what becomes of a file is the caller's business.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// An Entry is a file or a directory of an archive.
type Entry struct {
	Path       string // below the directory, with slashes, in its one form; never "."
	Dir        bool
	Executable bool // somebody may run it
}

// A Visit takes an entry, and what a file has. What it does not read nobody sees.
type Visit func(e Entry, contents io.Reader) error

// Walk calls visit for every file and directory of an archive of so many bytes, in the
// order in which they are there, and returns how many files there are. Together they may
// have most bytes. What was visited before an error is of an archive that is refused.
func Walk(r io.ReaderAt, size, most int64, visit Visit) (files uint64, err error) {
	w := &walker{visit: visit, most: most, left: most, kinds: map[string]bool{}}
	var magic [4]byte
	n, err := r.ReadAt(magic[:min(size, int64(len(magic)))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	all := io.NewSectionReader(r, 0, size)
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		err = w.zip(all)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(all); err == nil {
			err = w.tar(z)
		}
	default:
		err = w.tar(all)
	}
	return w.files, err
}

// Check is Walk for who only wants to know whether the archive is refused.
func Check(r io.ReaderAt, size, most int64) error {
	_, err := Walk(r, size, most, func(Entry, io.Reader) error { return nil })
	return err
}

// A walker is on its way through an archive.
type walker struct {
	visit   Visit
	entries int
	files   uint64
	most    int64           // bytes that files may have
	left    int64           // of most
	kinds   map[string]bool // what is at a path: true for a directory, which a parent is, too
}

func (w *walker) tar(r io.Reader) error {
	// Headers that tell about the next entry are read whole; a reader that ends
	// bounds them, too.
	t := tar.NewReader(io.LimitReader(r, w.most+maxEntries*(1<<10)))
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
			err = w.file(h.Name, h.FileInfo().Mode(), t)
		case tar.TypeDir:
			err = w.directory(h.Name)
		case tar.TypeXGlobalHeader: // says nothing about a file
		default:
			err = fmt.Errorf("%q is neither a file nor a directory (type %q)", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func (w *walker) zip(r *io.SectionReader) error {
	if err := countZip(r); err != nil {
		return err
	}
	z, err := zip.NewReader(r, r.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		switch mode := e.Mode(); {
		case strings.HasSuffix(e.Name, "/") && mode.IsDir():
			err = w.directory(e.Name)
		case mode.IsRegular():
			err = w.zipped(e)
		default:
			err = fmt.Errorf("%q is neither a file nor a directory (%v)", e.Name, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) zipped(e *zip.File) (err error) {
	r, err := e.Open()
	if err != nil {
		return fmt.Errorf("%q: %w", e.Name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return w.file(e.Name, e.Mode(), r)
}

// countZip refuses a zip archive of too many entries before its directory is read,
// all of which is held in memory: it counts what may be the header of one (APPNOTE,
// section 4.3.12).
func countZip(r *io.SectionReader) error {
	header := []byte("PK\x01\x02")
	b := make([]byte, 64<<10)
	count := 0
	for at := int64(0); at < r.Size(); at += int64(len(b) - len(header) + 1) {
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

func (w *walker) directory(name string) error {
	path, err := w.local(name)
	if err != nil || path == "." {
		return err
	}
	if err := w.take(path, true); err != nil {
		return err
	}
	return w.visit(Entry{Path: path, Dir: true}, nil)
}

// file has a file visited, and what the visitor leaves of it read: it may be refused
// for what is at its end.
func (w *walker) file(name string, mode fs.FileMode, r io.Reader) error {
	path, err := w.local(name)
	if err != nil {
		return err
	}
	if path == "." {
		return fmt.Errorf("the path %q is that of a directory", name)
	}
	if err := w.take(path, false); err != nil {
		return err
	}
	contents := bounded{w, r}
	err = w.visit(Entry{Path: path, Executable: mode&0o111 != 0}, contents)
	if err == nil {
		_, err = io.Copy(io.Discard, contents)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	w.files++
	return nil
}

// bounded is what a file has, as long as all files together do not have too much.
type bounded struct {
	w *walker
	r io.Reader
}

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.w.left+1)])
	if b.w.left -= int64(n); b.w.left < 0 {
		return 0, fmt.Errorf("files have more than %d bytes", b.w.most)
	}
	return n, err
}
