package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"quicklime/wire/conf"
)

// maxFile bounds a key or certificate file: a chain of two P-256 certificates
// has some 1.5 KiB.
const maxFile = 64 << 10 // bytes

// The labels of PEM blocks (RFC 7468, sections 5 and 10).
const (
	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
)

func readKey(file string) (*ecdsa.PrivateKey, error) {
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
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: want an ECDSA key, have %T", file, k)
	}
	return key, nil
}

// readCerts reads a file of one certificate or more.
func readCerts(file string) ([]*x509.Certificate, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxFile)
	}
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(b)) != 0 {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil || block.Type != pemCertificate {
			return nil, fmt.Errorf("%s: want PEM blocks %q and nothing else", file, pemCertificate)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return certs, nil
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return conf.ReplaceFile(file, 0o600, pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
}

func writeCerts(file string, chain ...[]byte) error {
	var b []byte
	for _, der := range chain {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})...)
	}
	return conf.ReplaceFile(file, 0o644, b)
}
