package payload

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
	"quicklime/wire/tpm"
)

// SealedShare is U as TPM2_MakeCredential sealed it: the contents of a
// TPM2B_ID_OBJECT and of a TPM2B_ENCRYPTED_SECRET.
type SealedShare struct {
	_      struct{} `cbor:",toarray"`
	Object []byte
	Secret []byte
}

// SealShare seals u so that only a TPM with the EK opens it, and only while it holds
// a key with the AK's Name. random must be cryptographically secure.
func SealShare(random io.Reader, ek, ak tpm.Public, u Share) (SealedShare, error) {
	area := ek.Area()
	key, err := tpm2.ImportEncapsulationKey(&area)
	if err != nil {
		return SealedShare{}, fmt.Errorf("EK: %w", err)
	}
	object, secret, err := tpm2.CreateCredential(random, key, ak.Name(), u[:])
	if err != nil {
		return SealedShare{}, fmt.Errorf("make credential: %w", err)
	}
	return SealedShare{Object: object, Secret: secret}, nil
}

// Check refuses a sealed share that is longer than any can be.
func (s SealedShare) Check() error {
	if len(s.Object) == 0 || len(s.Object) > wire.MaxShareObject || len(s.Secret) == 0 || len(s.Secret) > wire.MaxShareSecret {
		return fmt.Errorf("%w: a sealed share of %d and %d bytes", ErrInvalid, len(s.Object), len(s.Secret))
	}
	return nil
}

// Digest is the SHA-256 of << [object, secret] >>.
func (s SealedShare) Digest() ([sha256.Size]byte, error) {
	b, err := strictcbor.Marshal(s)
	return sha256.Sum256(b), err
}
