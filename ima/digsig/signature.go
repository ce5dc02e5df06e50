package digsig

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
)

// Type says what a signature is of (kernel: integrity.h, enum
// evm_ima_xattr_type).
type Type uint8

// The types of signatures.
const (
	File     Type = 3 // EVM_IMA_XATTR_DIGSIG: of a file's digest
	Portable Type = 5 // EVM_XATTR_PORTABLE_DIGSIG: of a file's metadata
	Verity   Type = 6 // IMA_VERITY_DIGSIG: of a file's fs-verity digest
)

// What else may stand in the same place.
const (
	plainDigest Type = 1 // IMA_XATTR_DIGEST: an MD5 or SHA-1 digest
	hmac        Type = 2 // EVM_XATTR_HMAC: an HMAC-SHA-1
	namedDigest Type = 4 // IMA_XATTR_DIGEST_NG: the number of a hash, a digest
)

// Signature is a signature as it was found, not one that was verified.
type Signature struct {
	Type    Type
	Version uint8 // 2 or 3
	Hash    Hash
	KeyID   uint32
	Bytes   []byte // not empty; a part of what was parsed
}

const (
	headerSize = 9  // bytes
	md5Size    = 16 // bytes
	maxDigest  = 64 // bytes (kernel: integrity.h, IMA_MAX_DIGEST_SIZE)
)

// Parse reads a sig or evmsig field, or an extended attribute: a signature to the
// last byte, or else ErrNoSignature, ErrMalformed, or ErrUnsupported for a
// version that is not known.
func Parse(field []byte) (Signature, error) {
	if len(field) == 0 {
		return Signature{}, ErrNoSignature
	}
	t := Type(field[0])
	if t != File && t != Portable && t != Verity {
		return Signature{}, noSignature(field)
	}
	if len(field) > 1 && field[1] != 2 && field[1] != 3 {
		return Signature{}, fmt.Errorf("%w signature version %d", ErrUnsupported, field[1])
	}
	if len(field) <= headerSize || int(binary.BigEndian.Uint16(field[7:])) != len(field)-headerSize {
		return Signature{}, fmt.Errorf("%w: its size is not that of the %d bytes that are there", ErrMalformed, len(field))
	}
	if t == Verity && field[1] != 3 {
		return Signature{}, fmt.Errorf("%w: version %d of an fs-verity digest", ErrMalformed, field[1])
	}
	return Signature{
		Type:    t,
		Version: field[1],
		Hash:    Hash(field[2]),
		KeyID:   binary.BigEndian.Uint32(field[3:]),
		Bytes:   field[headerSize:],
	}, nil
}

// noSignature says why a field that is not empty holds no signature.
func noSignature(field []byte) error {
	if h, sum, ok := parseDigest(field); ok {
		return fmt.Errorf("%w: a %v digest of %d bytes", ErrNoSignature, h, len(sum))
	}
	if Type(field[0]) == hmac && len(field) == 1+sha1.Size {
		return fmt.Errorf("%w: an HMAC", ErrNoSignature)
	}
	return fmt.Errorf("%w: type %d, %d bytes", ErrMalformed, field[0], len(field))
}

// parseDigest reads the digest that security.ima holds for a file that is not
// signed (kernel: ima_appraise.c, ima_fix_xattr):
//
//	1 u8 | MD5 or SHA-1 digest
//	4 u8 | hash u8 | digest
func parseDigest(xattr []byte) (h Hash, sum []byte, ok bool) {
	switch {
	case len(xattr) == 1+md5Size && Type(xattr[0]) == plainDigest:
		return md5Hash, xattr[1:], true
	case len(xattr) == 1+sha1.Size && Type(xattr[0]) == plainDigest:
		return SHA1, xattr[1:], true
	case len(xattr) > 2 && Type(xattr[0]) == namedDigest:
		h, sum = Hash(xattr[1]), xattr[2:]
		return h, sum, h.known() && len(sum) <= maxDigest && (h.Size() == 0 || h.Size() == len(sum))
	}
	return 0, nil, false
}

// Digest is what was measured of a file, as an entry says it.
type Digest struct {
	Type Type // File, of the content: field d-ng, or d-ngv2 with "ima"; Verity: d-ngv2 with "verity"
	Hash Hash
	Sum  []byte
}

// Verify checks that s is a signature over d by one of the keys in rings, and
// returns that key. A signature of another type or hash than d's is
// ErrBadSignature: it was made for something else. A portable signature is
// ErrUnsupported: it is verified with [Metadata.Verify].
func (s Signature) Verify(d Digest, rings ...Ring) (*Key, error) {
	if s.Type == Portable {
		return nil, fmt.Errorf("%w: a signature of metadata, not of a digest", ErrUnsupported)
	}
	if s.Type != d.Type {
		return nil, fmt.Errorf("%w: of type %d, for a digest of type %d", ErrBadSignature, s.Type, d.Type)
	}
	if s.Hash.Size() != 0 && (s.Hash != d.Hash || s.Hash.Size() != len(d.Sum)) {
		return nil, fmt.Errorf("%w: over a %v digest, for a %v digest of %d bytes", ErrBadSignature, s.Hash, d.Hash, len(d.Sum))
	}
	return s.verify(d.Sum, rings)
}

// verify checks s over a digest in its own hash.
func (s Signature) verify(sum []byte, rings []Ring) (*Key, error) {
	if s.Hash.Size() == 0 {
		return nil, fmt.Errorf("%w hash %v", ErrUnsupported, s.Hash)
	}
	if s.Version == 3 {
		sum = s.Hash.sum([]byte{byte(s.Type), byte(s.Hash)}, sum)
	}
	found := false
	for _, r := range rings {
		for _, k := range r.find(s.KeyID) {
			found = true
			if k.verify(s.Hash, sum, s.Bytes) {
				return k, nil
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: id %08x", ErrUnknownKey, s.KeyID)
	}
	return nil, fmt.Errorf("%w: key id %08x", ErrBadSignature, s.KeyID)
}

// vouches reports whether a security.ima says d: as the digest it holds, or by
// its signature.
func vouches(xattr []byte, d Digest, rings []Ring) error {
	if h, sum, ok := parseDigest(xattr); ok {
		if d.Type != File || h != d.Hash || !bytes.Equal(sum, d.Sum) {
			return fmt.Errorf("%w: its security.ima holds another digest", ErrBadSignature)
		}
		return nil
	}
	s, err := Parse(xattr)
	if err == nil {
		_, err = s.Verify(d, rings...)
	}
	if err != nil {
		return fmt.Errorf("security.ima: %w", err)
	}
	return nil
}
