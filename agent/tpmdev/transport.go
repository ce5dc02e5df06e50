package tpmdev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/tpm"
)

// TransportKey is the TPM's key for TLS. It is a crypto.Signer of SHA-256
// digests, usable until its Device is closed.
type TransportKey struct {
	device      *Device
	key         *key
	public      *ecdsa.PublicKey
	certificate func() (tls.Certificate, error)
}

// Transport returns the transport key, the same one every time.
func (d *Device) Transport() (k *TransportKey, err error) {
	err = d.run("make the transport key", func() error {
		k, err = d.loadTransport()
		return err
	})
	return k, err
}

// loadTransport makes the transport key if it is not loaded.
func (d *Device) loadTransport() (*TransportKey, error) {
	if d.tls != nil {
		return d.tls, nil
	}
	k, err := d.primary(tpm2.TPMRHOwner, tpm.TransportTemplate())
	if err != nil {
		return nil, err
	}
	public, ok := k.public.Key().(*ecdsa.PublicKey)
	if !ok {
		d.flush(k.handle)
		return nil, fmt.Errorf("the TPM made a %T of the template for a P-256 key", k.public.Key())
	}
	d.tls = &TransportKey{device: d, key: k, public: public}
	d.tls.certificate = sync.OnceValues(d.tls.selfSign)
	return d.tls, nil
}

// PublicArea returns the key's TPMT_PUBLIC.
func (k *TransportKey) PublicArea() []byte { return k.key.public.Bytes() }

// Public implements crypto.Signer; it returns an *ecdsa.PublicKey on P-256.
func (k *TransportKey) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer. digest is a SHA-256 digest; the randomness is
// the TPM's. The signature is an ASN.1 ECDSA-Sig-Value (RFC 3279, section 2.2.3).
func (k *TransportKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, fmt.Errorf("the transport key signs SHA-256 digests, not %d bytes of %v", len(digest), opts.HashFunc())
	}
	err = k.device.run("sign with the transport key", func() error {
		rsp, err := tpm2.Sign{
			KeyHandle:  k.key.named(),
			Digest:     tpm2.TPM2BDigest{Buffer: digest},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(k.device.conn)
		if err != nil {
			return err
		}
		s, err := rsp.Signature.Signature.ECDSA()
		if err != nil {
			return err
		}
		signature, err = asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(s.SignatureR.Buffer),
			new(big.Int).SetBytes(s.SignatureS.Buffer),
		})
		return err
	})
	return signature, err
}

// TLSCertificate returns a self-signed certificate for the key, made once. Peers
// pin the key; the certificate only carries it, and never expires.
func (k *TransportKey) TLSCertificate() (tls.Certificate, error) { return k.certificate() }

func (k *TransportKey) selfSign() (tls.Certificate, error) {
	serial := sha256.Sum256(k.PublicArea())
	template := &x509.Certificate{
		SerialNumber:       new(big.Int).SetBytes(serial[:16]),
		Subject:            pkix.Name{CommonName: "quicklime transport key"},
		NotBefore:          time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),      // before any clock that was never set
		NotAfter:           time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, section 4.1.2.5: no expiration
		KeyUsage:           x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.public, k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate of the transport key: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate of the transport key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}, nil
}
