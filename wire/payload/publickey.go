package payload

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
)

// KeySize is the length of a public payload key: an uncompressed point on P-256 (SEC
// 1, section 2.3.3).
const KeySize = 65 // bytes

// ParseKey reads a public payload key.
func ParseKey(point []byte) (*ecdsa.PublicKey, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: payload key: %w", ErrInvalid, err)
	}
	return k, nil
}

// EncodeKey returns what ParseKey reads.
func EncodeKey(k *ecdsa.PublicKey) ([]byte, error) {
	if k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: a payload key is on P-256, not on %s", ErrInvalid, k.Params().Name)
	}
	return k.Bytes()
}
