package notice

import (
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/veraison/go-cose"

	"quicklime/wire/strictcbor"
)

// Succession is what a succession says.
type Succession struct {
	Number uint64
	To     Key
	At     time.Time // whole seconds
}

// succession is a Succession as CBOR.
type succession struct {
	Number uint64 `cbor:"1,keyasint"`
	To     []byte `cbor:"2,keyasint"`
	At     uint64 `cbor:"3,keyasint"`
}

// Sign returns the succession by which s.To takes the place of key.
func (s Succession) Sign(key *ecdsa.PrivateKey, random io.Reader) ([]byte, error) {
	payload, err := strictcbor.Marshal(succession{s.Number, s.To[:], uint64(s.At.Unix())})
	if err == nil {
		_, err = decodeSuccession(payload)
	}
	if err != nil {
		return nil, fmt.Errorf("succession %d: %w", s.Number, err)
	}
	return successionForm.sign(payload, key, random)
}

func decodeSuccession(payload []byte) (Succession, error) {
	var b succession
	if err := strictcbor.Unmarshal(payload, &b); err != nil {
		return Succession{}, fmt.Errorf("payload: %w", err)
	}
	to, err := ParseKey(b.To)
	switch {
	case err != nil:
		return Succession{}, fmt.Errorf("payload: %w", err)
	case b.Number == 0:
		return Succession{}, errors.New("payload: number 0")
	case b.At > maxSeconds:
		return Succession{}, errors.New("payload: time")
	}
	return Succession{b.Number, to, time.Unix(int64(b.At), 0).UTC()}, nil
}

// OpenSuccession checks a succession against the key that it is to take the place of.
// The error is ErrInvalid with the first thing that does not hold.
func OpenSuccession(b []byte, from Key) (Succession, error) {
	payload, err := successionForm.open(b, from)
	if err != nil {
		return Succession{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	s, err := decodeSuccession(payload)
	if err != nil {
		return Succession{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s, nil
}

// SuccessionFrom reports whether bytes claim to be a succession, and returns the id of
// the key that they claim to be signed by, which nothing proves.
func SuccessionFrom(b []byte) (key string, ok bool) {
	m, err := read(b)
	if err != nil || m.Headers.Protected[cose.HeaderLabelType] != successionForm.mediaType {
		return "", false
	}
	id, ok := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	return hex.EncodeToString(id), ok
}

// Pin is the key that a machine goes by, and the number of the succession that it has
// it from; 0: from its join token.
type Pin struct {
	Key    Key
	Number uint64
}

// Follow returns the pin after a succession, which the key signed and which is newer
// than the last.
func (p Pin) Follow(b []byte) (Pin, error) {
	s, err := OpenSuccession(b, p.Key)
	if err != nil {
		return p, err
	}
	if s.Number <= p.Number {
		return p, fmt.Errorf("%w: succession %d, and %d was accepted", ErrReplayed, s.Number, p.Number)
	}
	return Pin{s.To, s.Number}, nil
}
