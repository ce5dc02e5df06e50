package payload

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
)

const mediaType = "application/quicklime-payload+cbor"

// Kind is what a payload is.
type Kind string

// The kinds.
const (
	File         Kind = "file"         // one file
	Archive      Kind = "archive"      // tar, tar.gz or zip, which is unpacked
	Certificates Kind = "certificates" // an archive with a certificate, its key and its CA
)

func (k Kind) known() bool { return k == File || k == Archive || k == Certificates }

// Manifest is what the operator signs of one version of a payload.
type Manifest struct {
	Agent   string // agent id
	Name    string
	Version uint64
	Kind    Kind
	File    string            // of File: what the file is called
	Size    uint64            // bytes of plaintext
	Content [sha256.Size]byte // digest of the ciphertext
	Share   [sha256.Size]byte // digest of the sealed share
	Issued  time.Time         // whole seconds
	Expires time.Time         // whole seconds
}

// claims is a Manifest as CBOR.
type claims struct {
	Agent   [sha256.Size]byte `cbor:"1,keyasint"`
	Name    string            `cbor:"2,keyasint"`
	Version uint64            `cbor:"3,keyasint"`
	Kind    Kind              `cbor:"4,keyasint"`
	File    string            `cbor:"5,keyasint"`
	Size    uint64            `cbor:"6,keyasint"`
	Content [sha256.Size]byte `cbor:"7,keyasint"`
	Share   [sha256.Size]byte `cbor:"8,keyasint"`
	Issued  uint64            `cbor:"9,keyasint"`
	Expires uint64            `cbor:"10,keyasint"`
}

// Check refuses a manifest whose fields are outside their bounds.
func (m Manifest) Check() error {
	switch {
	case !wire.ValidID(m.Agent):
		return fmt.Errorf("%w: agent id %q", ErrInvalid, m.Agent)
	case !wire.ValidName(m.Name):
		return fmt.Errorf("%w: name %q", ErrInvalid, m.Name)
	case m.Version == 0 || m.Version > MaxVersion:
		return fmt.Errorf("%w: version %d", ErrInvalid, m.Version)
	case !m.Kind.known():
		return fmt.Errorf("%w: kind %q", ErrInvalid, m.Kind)
	case m.Kind == File && !wire.ValidName(m.File), m.Kind != File && m.File != "":
		return fmt.Errorf("%w: file name %q of kind %q", ErrInvalid, m.File, m.Kind)
	case m.Size > MaxSize:
		return fmt.Errorf("%w: %d bytes, limit is %d", ErrInvalid, m.Size, uint64(MaxSize))
	case !validTime(m.Issued), !validTime(m.Expires), !m.Expires.After(m.Issued):
		return fmt.Errorf("%w: issued at %d, expires at %d", ErrInvalid, m.Issued.Unix(), m.Expires.Unix())
	}
	return nil
}

func validTime(t time.Time) bool { return t.Unix() >= 0 && t.Unix() <= maxTime && t.Nanosecond() == 0 }

// SealedSize is the length of the ciphertext.
func (m Manifest) SealedSize() uint64 { return SealedSize(m.Size) }

func (m Manifest) encode() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	c := claims{
		Name: m.Name, Version: m.Version, Kind: m.Kind, File: m.File, Size: m.Size, Content: m.Content, Share: m.Share,
		Issued: uint64(m.Issued.Unix()), Expires: uint64(m.Expires.Unix()),
	}
	hex.Decode(c.Agent[:], []byte(m.Agent)) // Check has seen that it is hexadecimal
	return strictcbor.Marshal(c)
}

func decode(b []byte) (Manifest, error) {
	var c claims
	if err := strictcbor.Unmarshal(b, &c); err != nil {
		return Manifest{}, fmt.Errorf("%w: claims: %w", ErrInvalid, err)
	}
	if c.Issued > maxTime || c.Expires > maxTime {
		return Manifest{}, fmt.Errorf("%w: issued at %d, expires at %d", ErrInvalid, c.Issued, c.Expires)
	}
	m := Manifest{
		Agent: hex.EncodeToString(c.Agent[:]), Name: c.Name, Version: c.Version, Kind: c.Kind, File: c.File, Size: c.Size,
		Content: c.Content, Share: c.Share, Issued: time.Unix(int64(c.Issued), 0).UTC(), Expires: time.Unix(int64(c.Expires), 0).UTC(),
	}
	return m, m.Check()
}

// protectedHeader is the one header of a manifest by k.
func protectedHeader(k *ecdsa.PublicKey) (cose.ProtectedHeader, error) {
	point, err := EncodeKey(k)
	if err != nil {
		return nil, err
	}
	kid := sha256.Sum256(point)
	return cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: cose.AlgorithmES256,
		cose.HeaderLabelKeyID:     kid[:],
		cose.HeaderLabelType:      mediaType,
	}, nil
}

// Sign returns the signed manifest.
func (m Manifest) Sign(random io.Reader, key *ecdsa.PrivateKey) ([]byte, error) {
	header, err := protectedHeader(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	c, err := m.encode()
	if err != nil {
		return nil, err
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		return nil, err
	}
	aad, err := strictcbor.Marshal(protocol)
	if err != nil {
		return nil, err
	}
	s := cose.Sign1Message{Headers: cose.Headers{Protected: header}, Payload: c}
	if err := s.Sign(random, aad, signer); err != nil {
		return nil, err
	}
	return s.MarshalCBOR()
}

// Signed is a manifest whose signature was checked. Only Verify fills one; the zero
// Signed is of no payload.
type Signed struct {
	manifest Manifest
	digest   [sha256.Size]byte
}

// Manifest returns what the operator signed.
func (s Signed) Manifest() Manifest { return s.manifest }

// Digest is the SHA-256 of the claims: two manifests with one digest say the same.
func (s Signed) Digest() [sha256.Size]byte { return s.digest }

// Verify reads a manifest and checks that key has signed it, and for agent.
func Verify(b []byte, key *ecdsa.PublicKey, agent string) (Signed, error) {
	header, err := protectedHeader(key)
	if err != nil {
		return Signed{}, err
	}
	s, err := parse(b)
	if err != nil {
		return Signed{}, err
	}
	if err := exactly(b, s, header); err != nil {
		return Signed{}, err
	}
	aad, err := strictcbor.Marshal(protocol)
	if err != nil {
		return Signed{}, err
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, key)
	if err != nil {
		return Signed{}, err
	}
	if err := s.Verify(aad, verifier); err != nil {
		return Signed{}, fmt.Errorf("%w: manifest: %w", ErrInvalid, err)
	}
	m, err := decode(s.Payload)
	if err != nil {
		return Signed{}, err
	}
	if m.Agent != agent {
		return Signed{}, fmt.Errorf("%w: the manifest is for agent %s", ErrInvalid, m.Agent)
	}
	return Signed{m, sha256.Sum256(s.Payload)}, nil
}

// Read returns what a manifest says without knowing who signed it: for whoever only
// carries it.
func Read(b []byte) (Manifest, error) {
	s, err := parse(b)
	if err != nil {
		return Manifest{}, err
	}
	if err := exactly(b, s, s.Headers.Protected); err != nil {
		return Manifest{}, err
	}
	return decode(s.Payload)
}

func parse(b []byte) (s cose.Sign1Message, err error) {
	if len(b) > MaxManifest {
		return s, fmt.Errorf("%w: a manifest of %d bytes, limit is %d", ErrInvalid, len(b), MaxManifest)
	}
	if err := s.UnmarshalCBOR(b); err != nil {
		return s, fmt.Errorf("%w: manifest: %w", ErrInvalid, err)
	}
	return s, nil
}

// exactly insists that b is the one encoding of a message under a header.
func exactly(b []byte, s cose.Sign1Message, header cose.ProtectedHeader) error {
	want := cose.Sign1Message{Headers: cose.Headers{Protected: header}, Payload: s.Payload, Signature: s.Signature}
	encoded, err := want.MarshalCBOR()
	if err != nil {
		return fmt.Errorf("%w: manifest: %w", ErrInvalid, err)
	}
	if !bytes.Equal(encoded, b) {
		return errOther
	}
	return nil
}

var errOther = fmt.Errorf("%w: %w", ErrInvalid, errors.New("the manifest is by another key than this one, or not in its one encoding"))
