package ca

import (
	"archive/tar"
	"archive/zip"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// A File is one of a certificate package. All are for their owner alone: among them
// is a private key.
type File struct {
	Name string // slash-separated
	Mode fs.FileMode
	Text []byte
}

// Bundle returns the files of Keylime's certificate package: those of the certificate
// as CertificateFiles names them, and cacert.crt, cacrl.der and cacrl.pem.
func (a Authority) Bundle(c *x509.Certificate, key crypto.Signer, list []byte) ([]File, error) {
	files, err := CertificateFiles(c, key)
	if err != nil {
		return nil, err
	}
	return append(files,
		File{"cacert.crt", 0o600, MarshalCertificate(a.cert)},
		File{"cacrl.der", 0o600, list},
		File{"cacrl.pem", 0o600, MarshalList(list)}), nil
}

// CertificateFiles returns NAME-private.pem, NAME-public.pem and NAME-cert.crt.
func CertificateFiles(c *x509.Certificate, key crypto.Signer) ([]File, error) {
	if !samePublic(key.Public(), c.PublicKey) {
		return nil, fmt.Errorf("certificate and key of %s do not belong together", c.Subject.CommonName)
	}
	private, err := MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := MarshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	name := c.Subject.CommonName
	return []File{
		{name + "-private.pem", 0o600, private},
		{name + "-public.pem", 0o600, public},
		{name + "-cert.crt", 0o600, MarshalCertificate(c)},
	}, nil
}

// WriteZip writes files as a zip archive.
func WriteZip(w io.Writer, files []File, now time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: now}
		h.SetMode(f.Mode)
		out, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := out.Write(f.Text); err != nil {
			return err
		}
	}
	return z.Close()
}

// WriteTar writes files as a tar archive.
func WriteTar(w io.Writer, files []File, now time.Time) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.Mode.Perm()), Size: int64(len(f.Text)), ModTime: now}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.Text); err != nil {
			return err
		}
	}
	return t.Close()
}
