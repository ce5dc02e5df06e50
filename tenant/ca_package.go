package tenant

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire/daemon"
)

// maxPackage bounds a package: what a payload may have.
const maxPackage = 64 << 20 // bytes

// compressed is a name of an archive of which no directory is to be made.
var compressed = regexp.MustCompile(`(?i)\.(tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar)/*$`)

func (p *program) caPackage(place *caPlace) *cobra.Command {
	var (
		request caRequest
		include []string
		out     string
	)
	c := &cobra.Command{
		Use:   "package AGENT",
		Short: "Make Keylime's certificate package for an agent, with a new key and certificate",
		Long: `Make a certificate package: ID-private.pem, ID-public.pem, ID-cert.crt, cacert.crt, cacrl.der
and cacrl.pem, ID being the agent's, and what is included. It holds a private key in the
clear: send it to the agent as a payload, and remove it.

` + helpAgent + `
With a whole id no server is asked.`,
		Args: exactly(1, "AGENT"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usage(c, "name what to write: -o FILE.zip, FILE.tar or a new directory")
			}
			if compressed.MatchString(out) {
				return usage(c, "-o %q is no archive that is made here: FILE.zip, FILE.tar or a new directory", out)
			}
			if _, _, err := request.check(c, ""); err != nil {
				return err
			}
			id, err := p.agentID(c.Context(), args[0])
			if err != nil {
				return err
			}
			return place.within(func(d *state.Directory) error { return p.packageFor(c, d, &request, id, include, out) })
		},
	}
	request.flags(c)
	c.Flags().StringArrayVar(&include, "include", nil, "add the file, or all files of the directory, at `PATH`; repeatable")
	c.Flags().StringVarP(&out, "output", "o", "", "write `FILE`.zip or .tar, or the new directory of that name; it must not be there")
	return c
}

func (p *program) packageFor(c *cobra.Command, d *state.Directory, r *caRequest, id string, include []string, out string) error {
	names, kind, err := r.check(c, id)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(out); err == nil {
		return daemon.WithHint(fmt.Errorf("%s: %w", out, fs.ErrExist), "move it away, or name another with -o")
	}
	included, err := readIncluded(include)
	if err != nil {
		return err
	}
	der, err := writeList(d, d.Register, p)
	if err != nil {
		return err
	}
	got, err := r.issue(p, d, id, names, kind)
	if err != nil {
		return err
	}
	files, err := d.Authority.Bundle(got.cert, got.key, der)
	if err != nil {
		return err
	}
	if files, err = join(files, included); err != nil {
		return err
	}
	if err := d.Save(got.register); err != nil {
		return err
	}
	if err := writePackage(out, files, p.now()); err != nil {
		return got.useless(err)
	}
	return p.show(newCertificate{got.entry, []string{out}}, func(w io.Writer) {
		fmt.Fprintf(w, "package of certificate %s for agent %s, until %s: %s\n", short(got.entry.Serial), short(id), got.entry.NotAfter.Format(time.RFC3339), out)
	})
}

// join puts what is included behind the files of the package, whose names it cannot
// take.
func join(files, included []ca.File) ([]ca.File, error) {
	seen := map[string]bool{}
	for _, f := range append(files, included...) {
		if seen[f.Name] {
			return nil, fmt.Errorf("the package would have two files %s", f.Name)
		}
		seen[f.Name] = true
	}
	return append(files, included...), nil
}

// readIncluded reads files and directories. They are named from the last part of
// their paths on; nothing but regular files and directories is taken.
func readIncluded(paths []string) (files []ca.File, err error) {
	room := maxPackage
	for _, name := range paths {
		some, err := readTree(filepath.Clean(name), room)
		if err != nil {
			return nil, daemon.WithHint(err, "a package takes regular files and directories of them, %d MiB together", maxPackage>>20)
		}
		for _, f := range some {
			room -= len(f.Text)
		}
		files = append(files, some...)
	}
	return files, nil
}

// readTree reads a file, or all files of a directory. No link leads out of the directory
// that was named, or that the file is in: what it has may be others' to write, and is read
// unattended, by whoever can read the authority's key.
func readTree(name string, room int) (files []ca.File, err error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	base := filepath.Base(name)
	st, err := root.Lstat(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !st.IsDir() {
		f, err := readOne(root, base, room)
		return []ca.File{f}, err
	}
	below, err := root.OpenRoot(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer below.Close()
	err = fs.WalkDir(below.FS(), ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := readOne(below, file, room)
		if err != nil {
			return err
		}
		room -= len(f.Text)
		f.Name = path.Join(base, file)
		files = append(files, f)
		return nil
	})
	return files, err
}

// readOne reads a regular file below a directory, which is its name. Its owner may run the
// copy who may run the file.
func readOne(root *os.Root, file string, room int) (ca.File, error) {
	whole := filepath.Join(root.Name(), file)
	if st, err := root.Lstat(file); err != nil || !st.Mode().IsRegular() {
		return ca.File{}, errors.Join(err, fmt.Errorf("%s is no regular file", whole))
	}
	f, err := root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be another by now
	if err != nil {
		return ca.File{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ca.File{}, err
	}
	if !st.Mode().IsRegular() {
		return ca.File{}, fmt.Errorf("%s is no regular file", whole)
	}
	text, err := readAll(f, whole, int64(room))
	return ca.File{Name: file, Mode: 0o600 | st.Mode().Perm()&0o100, Text: text}, err
}

// writePackage writes an archive or a directory, which appears whole.
func writePackage(out string, files []ca.File, now time.Time) (err error) {
	write := map[string]func(io.Writer, []ca.File, time.Time) error{".zip": ca.WriteZip, ".tar": ca.WriteTar}[strings.ToLower(filepath.Ext(out))]
	if write == nil {
		return writeDirectory(out, files)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f, files, now), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	return nil
}

func writeDirectory(out string, files []ca.File) error {
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Clean(out)), ".new-*") // mode 0700
	if err != nil {
		return err
	}
	if _, err := writeNewFiles(dir, files); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.Rename(dir, out); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}
