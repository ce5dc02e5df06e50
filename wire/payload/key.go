package payload

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
)

// ShareSize is the length of U and V, and of every key.
const ShareSize = wire.PayloadShareSize // bytes

// A Share is U or V: alone it is noise.
type Share [ShareSize]byte

// String keeps a share out of logs.
func (Share) String() string { return "(a share of a payload's key)" }

// GoString keeps a share out of logs.
func (s Share) GoString() string { return s.String() }

// NewShare reads a share from random, which must be cryptographically secure.
func NewShare(random io.Reader) (s Share, err error) {
	_, err = io.ReadFull(random, s[:])
	return s, err
}

// Keys are the keys of one version of a payload.
type Keys struct {
	content, receipt [ShareSize]byte
}

// String keeps keys out of logs.
func (Keys) String() string { return "(a payload's keys)" }

// GoString keeps keys out of logs.
func (k Keys) GoString() string { return k.String() }

// context is what keys are bound to.
type context struct {
	_       struct{} `cbor:",toarray"`
	Label   string
	Agent   string
	Name    string
	Version uint64
}

// Derive returns the keys of a payload for an agent.
func Derive(u, v Share, agent, name string, version uint64) (k Keys, err error) {
	secret := make([]byte, ShareSize)
	for i := range secret {
		secret[i] = u[i] ^ v[i]
	}
	for label, key := range map[string]*[ShareSize]byte{protocol + " content": &k.content, protocol + " receipt": &k.receipt} {
		info, err := strictcbor.Marshal(context{Label: label, Agent: agent, Name: name, Version: version})
		if err != nil {
			return Keys{}, err
		}
		derived, err := hkdf.Key(sha256.New, secret, nil, string(info), ShareSize)
		if err != nil {
			return Keys{}, fmt.Errorf("derive the key of payload %s: %w", name, err)
		}
		copy(key[:], derived)
	}
	return k, nil
}

// Receipt returns the key of receipts, which opens nothing.
func (k Keys) Receipt() ReceiptKey { return k.receipt }

// A ReceiptKey makes and checks receipts.
type ReceiptKey [ShareSize]byte

// String keeps the key out of logs.
func (ReceiptKey) String() string { return "(a receipt key)" }

// GoString keeps the key out of logs.
func (k ReceiptKey) GoString() string { return k.String() }
