package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"quicklime/wire"
	"quicklime/wire/conf"
)

// Signer returns the key in NAME.key, for signatures that no certificate is about.
// If it is absent it is made with generate and kept, and NAME.pub holds its public key
// (SubjectPublicKeyInfo, PEM) for those who check them.
func (a *Authority) Signer(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	key, statements, err := a.SignerWith(name, generate)
	if err == nil && len(statements) > 0 {
		err = fmt.Errorf("%s: want one PEM block %q", filepath.Join(a.dir, name+".key"), pemPrivateKey)
	}
	return key, err
}

// SignerWith is Signer for a key behind which, in the same file, are statements about
// it: PEM blocks of other types.
func (a *Authority) SignerWith(name string, generate func() (crypto.Signer, error)) (crypto.Signer, []*pem.Block, error) {
	file, unlock, err := a.lockSigner(name)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	key, statements, err := readSigner(file)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = generate(); err == nil {
			err = writeSigner(file, key, nil)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return key, statements, writePublic(filepath.Join(a.dir, name+".pub"), key.Public())
}

// ReplaceSigner has change make another key and other statements of those in NAME.key,
// and puts them in their place in one step. The error is fs.ErrNotExist if there is no
// key. Whoever uses the key reads it when it starts.
func (a *Authority) ReplaceSigner(name string, change func(crypto.Signer, []*pem.Block) (crypto.Signer, []*pem.Block, error)) error {
	file, unlock, err := a.lockSigner(name)
	if err != nil {
		return err
	}
	defer unlock()
	key, statements, err := readSigner(file)
	if err != nil {
		return err
	}
	if err := checkOwner(file); err != nil {
		return err
	}
	if key, statements, err = change(key, statements); err != nil {
		return err
	}
	if err := writeSigner(file, key, statements); err != nil {
		return err
	}
	return writePublic(filepath.Join(a.dir, name+".pub"), key.Public())
}

// checkOwner refuses to replace a file of somebody else, who could not read what comes
// in its place.
func checkOwner(file string) error {
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	owner := int(st.Sys().(*syscall.Stat_t).Uid)
	if owner == os.Geteuid() {
		return nil
	}
	name := strconv.Itoa(owner)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s belongs to the user %s, who could not read what you put in its place; run this as that user (runuser -u %[2]s -- …)", file, name)
}

// lockSigner returns the file of a key, and what ends the lock on it.
func (a *Authority) lockSigner(name string) (file string, unlock func() error, err error) {
	if !wire.ValidName(name) || name == "ca" {
		return "", nil, fmt.Errorf("%q cannot name a key", name)
	}
	unlock, err = conf.Lock(a.dir)
	return filepath.Join(a.dir, name+".key"), unlock, err
}

func readSigner(file string) (crypto.Signer, []*pem.Block, error) {
	b, err := conf.ReadSecret(file, maxFile)
	if err != nil {
		return nil, nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemPrivateKey {
		return nil, nil, fmt.Errorf("%s: want a PEM block %q", file, pemPrivateKey)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := k.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s: a key of type %T signs nothing", file, k)
	}
	var statements []*pem.Block
	for len(bytes.TrimSpace(rest)) > 0 {
		if block, rest = pem.Decode(rest); block == nil || block.Type == pemPrivateKey {
			return nil, nil, fmt.Errorf("%s: want one PEM block %q, and behind it others alone", file, pemPrivateKey)
		}
		statements = append(statements, block)
	}
	return key, statements, nil
}

func writeSigner(file string, key crypto.Signer, statements []*pem.Block) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, block := range append([]*pem.Block{{Type: pemPrivateKey, Bytes: der}}, statements...) {
		if err := pem.Encode(&b, block); err != nil {
			return err
		}
	}
	return conf.ReplaceFile(file, 0o600, b.Bytes())
}

func writePublic(file string, public crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(file, 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
