package tenant

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
	"quicklime/wire/payload/archive"
)

// contents is what is to be sent: a file as it is, or a directory as a tar archive.
type contents struct {
	kind payload.Kind
	file string // what the machine calls it; empty: it is unpacked
	name string // of the payload, if nobody says otherwise
	open func() (io.ReadCloser, error)
}

// archives are the endings of files that a machine unpacks.
var archives = []string{".tar", ".tar.gz", ".tgz", ".zip"}

// contentsOf looks at what is to be sent. asFile keeps the machine from unpacking it.
func contentsOf(path string, asFile bool) (contents, error) {
	st, err := os.Stat(path)
	if err != nil {
		return contents{}, err
	}
	base := filepath.Base(filepath.Clean(path))
	c := contents{kind: payload.File, file: base, name: base, open: func() (io.ReadCloser, error) { return os.Open(path) }}
	switch {
	case st.IsDir():
		return c.directory(path)
	case !st.Mode().IsRegular():
		return c, fmt.Errorf("%s is neither a file nor a directory", path)
	case st.Size() > payload.MaxSize:
		return c, daemon.WithHint(fmt.Errorf("%s has %s (%d bytes), and a payload at most %s", path, byteSize(uint64(st.Size())), st.Size(), byteSize(payload.MaxSize)), hintNoRoom)
	case !asFile:
		if c.unpacked(base); c.kind == payload.Archive {
			return c, refuseArchive(path, st.Size())
		}
	}
	if c.kind == payload.File && !wire.ValidName(c.file) {
		return c, daemon.WithHint(fmt.Errorf("the machine cannot call the file %q", c.file), "rename it: letters, digits, '.', '_' and '-', the first a letter or digit, at most 64")
	}
	return c, nil
}

// unpacked makes an archive one that the machine unpacks, by the ending of its name.
func (c *contents) unpacked(base string) {
	for _, ending := range archives {
		if stem, ok := strings.CutSuffix(base, ending); ok && stem != "" {
			c.kind, c.file, c.name = payload.Archive, "", stem
			return
		}
	}
}

// refuseArchive refuses what the machine would.
func refuseArchive(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := archive.Check(f, size, archive.MaxUnpacked); err != nil {
		return daemon.WithHint(fmt.Errorf("%s: the machine would not unpack it: %w", path, err), "an archive has files and directories below one directory; --as-file sends it as it is")
	}
	return nil
}

// directory makes a directory a tar archive, here and now: what is sent is what was
// looked at.
func (c contents) directory(path string) (contents, error) {
	var b room
	err := pack(&b, path)
	if errors.Is(err, errNoRoom) {
		return c, daemon.WithHint(fmt.Errorf("%s: %w", path, err), hintNoRoom)
	}
	if err != nil {
		return c, err
	}
	text := b.Bytes()
	if err := archive.Check(bytes.NewReader(text), int64(len(text)), archive.MaxUnpacked); err != nil {
		return c, daemon.WithHint(fmt.Errorf("%s: the machine would not unpack it: %w", path, err), "leave it out of the directory")
	}
	c.kind, c.file = payload.Archive, ""
	c.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	return c, nil
}

// A room is what a payload has room for.
type room struct{ bytes.Buffer }

var errNoRoom = fmt.Errorf("a payload has at most %s", byteSize(payload.MaxSize))

func (r *room) Write(b []byte) (int, error) {
	if r.Len()+len(b) > payload.MaxSize {
		return 0, errNoRoom
	}
	return r.Buffer.Write(b)
}

// hintNoRoom says what to do with what is too large.
const hintNoRoom = "payloads are for secrets and configuration: send what is large another way, and its key or digest as a payload"

// pack writes a directory as a tar archive, of files and directories alone.
func pack(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewWriter(w)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		return packOne(t, root, path, d)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// packOne writes one entry, with no more of its owner and times than a machine needs.
func packOne(t *tar.Writer, root *os.Root, path string, d fs.DirEntry) (err error) {
	st, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o700})
	case !d.Type().IsRegular():
		return daemon.WithHint(fmt.Errorf("%s is neither a file nor a directory", path), "a payload has no links and no devices: put a file in its place")
	}
	f, err := root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path, Size: st.Size(), Mode: int64(st.Mode().Perm())}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
