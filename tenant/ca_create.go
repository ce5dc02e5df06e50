package tenant

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// newCertificate is the JSON of "ca create" and "ca package".
type newCertificate struct {
	ca.Entry
	Files []string `json:"files"`
}

func (p *program) caCreate(place *caPlace) *cobra.Command {
	var (
		request    caRequest
		agent, out string
	)
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key and a certificate: NAME-private.pem, NAME-public.pem, NAME-cert.crt",
		Args:  exactly(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if !wire.ValidName(args[0]) {
				return usage(c, "%q cannot name a certificate and its files: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'", args[0])
			}
			names, kind, err := request.check(c, agent)
			if err != nil {
				return err
			}
			return place.within(func(d *state.Directory) error {
				return p.createCertificate(d, &request, args[0], names, kind, out)
			})
		},
	}
	request.flags(c)
	c.Flags().StringVar(&agent, "agent", "", "let it name the agent with the whole `ID`")
	c.Flags().StringVarP(&out, "output", "o", ".", "write the files into `DIR`, which is there")
	return c
}

// createCertificate finds out first whether there is room for the files.
func (p *program) createCertificate(d *state.Directory, r *caRequest, subject string, names ca.Names, kind ca.KeyKind, out string) error {
	for _, suffix := range []string{"-private.pem", "-public.pem", "-cert.crt"} {
		file := filepath.Join(out, subject+suffix)
		if _, err := os.Lstat(file); err == nil {
			return daemon.WithHint(fmt.Errorf("%s: %w", file, fs.ErrExist), "move it away, or write into another directory with -o")
		}
	}
	if st, err := os.Stat(out); err != nil || !st.IsDir() {
		return daemon.WithHint(errors.Join(fmt.Errorf("%s is no directory", out), err), "make it first")
	}
	got, err := r.issue(p, d, subject, names, kind)
	if err != nil {
		return err
	}
	files, err := ca.CertificateFiles(got.cert, got.key)
	if err != nil {
		return err
	}
	if err := d.Save(got.register); err != nil {
		return err
	}
	written, err := writeNewFiles(out, files)
	if err != nil {
		return got.useless(err)
	}
	return p.show(newCertificate{got.entry, written}, func(w io.Writer) {
		fmt.Fprintf(w, "certificate %s of %s, until %s\n", short(got.entry.Serial), subject, got.entry.NotAfter.Format(time.RFC3339))
		if forNames(names) == "" {
			p.warn("it has no name that a TLS client checks: see --dns, --ip and --uri")
		}
		for _, f := range written {
			p.say("wrote %s", f)
		}
	})
}

// writeNewFiles writes files into a directory and returns their names. None may be there:
// another's file could be open to everybody.
func writeNewFiles(dir string, files []ca.File) (written []string, err error) {
	for _, f := range files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return written, err
		}
		out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode.Perm())
		if err != nil {
			return written, err
		}
		_, err = out.Write(f.Text)
		if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
			return written, err
		}
		written = append(written, file)
	}
	return written, nil
}
