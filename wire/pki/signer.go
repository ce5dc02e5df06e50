package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"quicklime/wire"
	"quicklime/wire/conf"
)

// Signer returns the key in NAME.key, for signatures that no certificate is about.
// If it is absent it is made with generate and kept, and NAME.pub holds its public key
// (SubjectPublicKeyInfo, PEM) for those who check them.
func (a *Authority) Signer(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	if !wire.ValidName(name) || name == "ca" {
		return nil, fmt.Errorf("%q cannot name a key", name)
	}
	unlock, err := conf.Lock(a.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	file := filepath.Join(a.dir, name+".key")
	key, err := readSigner(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeSigner(file, generate)
	}
	if err != nil {
		return nil, err
	}
	return key, writePublic(filepath.Join(a.dir, name+".pub"), key.Public())
}

func readSigner(file string) (crypto.Signer, error) {
	b, err := conf.ReadSecret(file, maxFile)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemPrivateKey || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("%s: want one PEM block %q", file, pemPrivateKey)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T signs nothing", file, k)
	}
	return key, nil
}

func makeSigner(file string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	key, err := generate()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, conf.ReplaceFile(file, 0o600, pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
}

func writePublic(file string, public crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(file, 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
