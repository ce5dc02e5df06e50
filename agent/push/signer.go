package push

import (
	"crypto"
	"crypto/tls"
	"io"
	"sync/atomic"
)

// signer is the transport key. It remembers that the TPM failed to sign, which a
// TLS handshake reports as one failure among many.
type signer struct {
	crypto.Signer
	err atomic.Pointer[error]
}

// wrap puts s before the key of c.
func (s *signer) wrap(c *tls.Certificate) {
	if key, ok := c.PrivateKey.(crypto.Signer); ok {
		s.Signer, c.PrivateKey = key, s
	}
}

// Sign implements crypto.Signer. Handshakes call it from goroutines of their own.
func (s *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := s.Signer.Sign(random, digest, opts)
	if err != nil {
		s.err.Store(&err)
	}
	return signature, err
}

// failed returns the TPM's last error, or nil if there was none.
func (s *signer) failed() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}
