package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	segmentSize = 64 << 10 // bytes of plaintext
	tagSize     = 16       // bytes
	nonceSize   = 12       // bytes
)

// SealedSize returns the length of the ciphertext of n bytes.
func SealedSize(n uint64) uint64 {
	segments := max((n+segmentSize-1)/segmentSize, 1)
	return n + segments*tagSize
}

// segments seals or opens one segment after the other.
type segments struct {
	aead cipher.AEAD
	next uint32
}

func newSegments(k Keys) (segments, error) {
	block, err := aes.NewCipher(k.content[:])
	if err != nil {
		return segments{}, err
	}
	aead, err := cipher.NewGCM(block)
	return segments{aead: aead}, err
}

// nonce returns the nonce of the next segment. It is never asked for more than
// there can be in MaxSize.
func (s *segments) nonce(last bool) []byte {
	n := make([]byte, nonceSize)
	binary.BigEndian.PutUint32(n[7:], s.next)
	if last {
		n[11] = 1
	}
	s.next++
	return n
}

// Seal encrypts what it reads from plain, to its end and at most MaxSize bytes, and
// writes the ciphertext. It returns the length of the plaintext. A key seals once.
func Seal(w io.Writer, plain io.Reader, k Keys) (size uint64, err error) {
	s, err := newSegments(k)
	if err != nil {
		return 0, err
	}
	now, next := make([]byte, segmentSize), make([]byte, segmentSize)
	n, err := read(plain, now)
	for err == nil {
		if size += uint64(n); size > MaxSize {
			return size, fmt.Errorf("%w: it has more than %d bytes", ErrInvalid, uint64(MaxSize))
		}
		m := 0
		if n == segmentSize {
			if m, err = read(plain, next); err != nil {
				break
			}
		}
		if _, err = w.Write(s.aead.Seal(nil, s.nonce(m == 0), now[:n], nil)); err != nil || m == 0 {
			break
		}
		now, next, n = next, now, m
	}
	return size, err
}

// read fills b as far as r has something. The end of r is no error.
func read(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// Open decrypts a ciphertext of a plaintext of size bytes and writes it. What is
// written before an error is what was sealed, so far as it goes, but not all of it.
func Open(w io.Writer, sealed io.Reader, size uint64, k Keys) error {
	if size > MaxSize {
		return fmt.Errorf("%w: it has more than %d bytes", ErrInvalid, uint64(MaxSize))
	}
	s, err := newSegments(k)
	if err != nil {
		return err
	}
	segment, plain := make([]byte, segmentSize+tagSize), make([]byte, 0, segmentSize)
	for left := size; ; left -= segmentSize {
		last := left <= segmentSize
		part := segment[:min(left, segmentSize)+tagSize]
		if _, err := io.ReadFull(sealed, part); err != nil {
			return fmt.Errorf("%w: segment %d: %w", ErrInvalid, s.next, err)
		}
		number := s.next
		if plain, err = s.aead.Open(plain[:0], s.nonce(last), part, nil); err != nil {
			return fmt.Errorf("%w: segment %d does not open under this key", ErrInvalid, number)
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
		if last {
			break
		}
	}
	if n, err := sealed.Read(segment[:1]); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more follows the last segment", ErrInvalid)
	}
	return nil
}
