package notice

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Key is a revocation key's public half: a point on P-256 in its compressed form (SEC
// 1, section 2.3.3), so that a key has one string of bytes (I01). The zero Key is
// none.
type Key [33]byte

// KeyOf returns the Key of a public key on P-256.
func KeyOf(public *ecdsa.PublicKey) (k Key, err error) {
	if public.Curve != elliptic.P256() {
		return k, errors.New("a revocation key is on P-256")
	}
	b, err := public.Bytes() // 4 ‖ x ‖ y
	if err != nil {
		return k, err
	}
	k[0] = 2 | b[64]&1 // y is even or odd
	copy(k[1:], b[1:33])
	return k, nil
}

// ParseKey reads a Key.
func ParseKey(b []byte) (k Key, err error) {
	if len(b) != len(k) {
		return k, errors.New("a revocation key has 33 bytes")
	}
	copy(k[:], b)
	if k.public() == nil {
		return Key{}, errors.New("a revocation key is a point on P-256")
	}
	return k, nil
}

// public is nil if k is no point of the curve.
func (k Key) public() *ecdsa.PublicKey {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), k[:])
	if x == nil {
		return nil
	}
	b := make([]byte, 65)
	b[0] = 4
	x.FillBytes(b[1:33])
	y.FillBytes(b[33:])
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil
	}
	return public
}

// ID names the key: 64 hexadecimal digits.
func (k Key) ID() string { return hex.EncodeToString(k.kid()) }

// kid is in the header of what the key signs.
func (k Key) kid() []byte {
	sum := sha256.Sum256(k[:])
	return sum[:]
}
