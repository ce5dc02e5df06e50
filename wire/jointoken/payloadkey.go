package jointoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
)

// PayloadKey is the key under which a machine opens payloads: an uncompressed point
// on P-256 (SEC 1, section 2.3.3). The zero value is none.
type PayloadKey [65]byte

// Set reports whether there is a key.
func (k PayloadKey) Set() bool { return k != PayloadKey{} }

func (k PayloadKey) check() error {
	if !k.Set() {
		return nil
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k[:]); err != nil {
		return errors.New("the payload key is no point on P-256")
	}
	return nil
}

// bytes is the key, or nothing.
func (k PayloadKey) bytes() []byte {
	if !k.Set() {
		return nil
	}
	return k[:]
}

// payloadKey is what bytes returned.
func payloadKey(b []byte) (k PayloadKey, err error) {
	if len(b) == 0 {
		return k, nil
	}
	if copy(k[:], b) != len(k) || len(b) != len(k) || !k.Set() {
		return k, fmt.Errorf("a payload key of %d bytes", len(b))
	}
	return k, k.check()
}
