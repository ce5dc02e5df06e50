// Package state keeps an authority of quicklime/tenant/ca in a directory:
//
//	cacert.crt, cakey.pem  the authority's certificate and key
//	register.json          a ca.Register
//	cacrl.der, cacrl.pem   the last revocation list
//	.lock                  flock(2) of who reads or writes
//	.renew                 flock(2) of who renews certificates, also while it sends them
//
// The key has mode 0600, and one with a laxer mode is refused, as is a directory in
// which others may write (I05). Every file is replaced as a whole. The register is
// written first, before what it says is handed out, so that no serial number and no
// number of a list is given twice, and no certificate is in force that the register
// does not know; a crash leaves at worst one in it that nobody has, or a list that is
// made again.
package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"quicklime/tenant/ca"
	"quicklime/wire/conf"
)

const (
	certFile     = "cacert.crt"
	keyFile      = "cakey.pem"
	registerFile = "register.json"
	derFile      = "cacrl.der"
	pemFile      = "cacrl.pem"
	renewFile    = ".renew"
)

// A Directory is open, and nobody else has it open until it is closed.
type Directory struct {
	Authority ca.Authority
	Register  ca.Register // as it is on disk; Save replaces it
	dir       string
	unlock    func() error
}

// Create makes a directory with an authority that make returns and its register. One
// that is there with an authority is fs.ErrExist.
func Create(dir string, make func() (ca.Authority, ca.Register, error)) (*Directory, error) {
	if err := conf.EnsureDir(dir); err != nil {
		return nil, err
	}
	return locked(dir, func(d *Directory) error {
		if _, err := os.Lstat(d.file(certFile)); err == nil {
			return fmt.Errorf("%s: %w", d.file(certFile), fs.ErrExist)
		}
		var err error
		if d.Authority, d.Register, err = make(); err != nil {
			return err
		}
		key, err := ca.MarshalPrivateKey(d.Authority.Key())
		if err != nil {
			return err
		}
		if err := d.Save(d.Register); err != nil {
			return err
		}
		if err := conf.ReplaceFile(d.file(keyFile), 0o600, key); err != nil {
			return err
		}
		// The certificate last: without it there is no authority.
		return conf.ReplaceFile(d.file(certFile), 0o644, ca.MarshalCertificate(d.Authority.Certificate()))
	})
}

// Open opens a directory, and waits until who has it has closed it. One without an
// authority is fs.ErrNotExist.
func Open(dir string) (*Directory, error) {
	if _, err := os.Stat(filepath.Join(dir, certFile)); err != nil {
		return nil, err
	}
	if err := conf.EnsureDir(dir); err != nil {
		return nil, err
	}
	return locked(dir, (*Directory).load)
}

// locked returns a directory, locked, that do has filled.
func locked(dir string, do func(*Directory) error) (*Directory, error) {
	unlock, err := conf.Lock(dir)
	if err != nil {
		return nil, err
	}
	d := &Directory{dir: dir, unlock: unlock}
	if err := do(d); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return d, nil
}

func (d *Directory) load() error {
	text, err := d.read(certFile, ca.MaxPEM)
	if err != nil {
		return err
	}
	cert, err := ca.ParseCertificate(text)
	if err != nil {
		return fmt.Errorf("%s: %w", d.file(certFile), err)
	}
	if text, err = conf.ReadSecret(d.file(keyFile), ca.MaxPEM); err != nil {
		return err
	}
	key, err := ca.ParsePrivateKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", d.file(keyFile), err)
	}
	if d.Authority, err = ca.Load(cert, key); err != nil {
		return fmt.Errorf("%s: %w", d.file(certFile), err)
	}
	if text, err = d.read(registerFile, ca.MaxRegister); err != nil {
		return err
	}
	if d.Register, err = ca.ParseRegister(text); err != nil {
		return fmt.Errorf("%s: %w", d.file(registerFile), err)
	}
	return nil
}

// Save replaces the register.
func (d *Directory) Save(r ca.Register) error {
	b, err := r.Marshal()
	if err != nil {
		return err
	}
	if len(b) > ca.MaxRegister {
		return fmt.Errorf("%s would have more than %d bytes", d.file(registerFile), ca.MaxRegister)
	}
	if err := conf.ReplaceFile(d.file(registerFile), 0o600, b); err != nil {
		return err
	}
	d.Register = r
	return nil
}

// SaveList replaces the register and then the revocation list.
func (d *Directory) SaveList(r ca.Register, der []byte) error {
	if err := d.Save(r); err != nil {
		return err
	}
	if err := conf.ReplaceFile(d.file(derFile), 0o644, der); err != nil {
		return err
	}
	return conf.ReplaceFile(d.file(pemFile), 0o644, ca.MarshalList(der))
}

// ListFile is where the last revocation list is, in PEM.
func (d *Directory) ListFile() string { return d.file(pemFile) }

// Close lets others open the directory.
func (d *Directory) Close() error { return d.unlock() }

func (d *Directory) file(name string) string { return filepath.Join(d.dir, name) }

func (d *Directory) read(name string, max int64) ([]byte, error) {
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s is larger than %d bytes", f.Name(), max)
	}
	return b, err
}

// TryRenew is for who renews certificates, one program at a time; others may open the
// directory meanwhile. It returns false if another does it now.
func TryRenew(dir string) (done func() error, ok bool, err error) {
	return conf.TryLock(filepath.Join(dir, renewFile))
}
