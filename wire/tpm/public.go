package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Public is a public area that was parsed. Only ParsePublic fills one; the zero
// Public is no key.
type Public struct {
	area  tpm2.TPMTPublic
	bytes []byte
	name  []byte
	key   crypto.PublicKey
	ak    bool // matches AKTemplate
}

// ParsePublic reads a TPMT_PUBLIC (part 2, section 12.2.4) of an RSA or ECC
// (P-256, P-384, P-521) key. The error is ErrMalformed if the bytes are anything
// else, or another encoding of one.
func ParsePublic(b []byte) (Public, error) {
	if len(b) > wire.MaxPublic {
		return Public{}, fmt.Errorf("%w: public area of %d bytes, limit is %d", ErrMalformed, len(b), wire.MaxPublic)
	}
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		return Public{}, fmt.Errorf("%w: public area: %w", ErrMalformed, err)
	}
	if !bytes.Equal(tpm2.Marshal(area), b) {
		return Public{}, fmt.Errorf("%w: public area has another encoding", ErrMalformed)
	}
	key, err := publicKey(area)
	if err != nil {
		return Public{}, fmt.Errorf("%w: public area: %w", ErrMalformed, err)
	}
	hash := pcr.Bank(area.NameAlg)
	if !hash.Known() || hash == pcr.SHA1 {
		return Public{}, fmt.Errorf("%w: public area: name algorithm 0x%04x", ErrMalformed, uint16(area.NameAlg))
	}
	p := Public{area: *area, bytes: bytes.Clone(b), name: nameOf(hash, b), key: key}
	p.ak = p.Matches(AKTemplate())
	return p, nil
}

// Bytes returns the TPMT_PUBLIC.
func (p Public) Bytes() []byte { return bytes.Clone(p.bytes) }

// Area returns the parsed structure.
func (p Public) Area() tpm2.TPMTPublic { return p.area }

// Key returns the key: *ecdsa.PublicKey or *rsa.PublicKey.
func (p Public) Key() crypto.PublicKey { return p.key }

// Name returns nameAlg ‖ H(public area) (part 1, section 16).
func (p Public) Name() []byte { return bytes.Clone(p.name) }

// QualifiedName returns the qualified name of the key if it is a primary of the
// hierarchy: nameAlg ‖ H(hierarchy handle ‖ Name) (part 1, section 26.5).
func (p Public) QualifiedName(hierarchy uint32) []byte {
	handle := binary.BigEndian.AppendUint32(nil, hierarchy)
	return nameOf(pcr.Bank(p.area.NameAlg), handle, p.name)
}

// AgentID returns the id of the machine whose EK p is: the SHA-256 of the public
// area in hexadecimal.
func (p Public) AgentID() string {
	h := sha256.Sum256(p.bytes)
	return hex.EncodeToString(h[:])
}

// IsAK reports whether p is of this protocol's AKTemplate, as Matches would.
func (p Public) IsAK() bool { return p.ak }

// Matches reports whether the area is the template's in everything but unique:
// type, name algorithm, every attribute, policy and parameters.
func (p Public) Matches(template tpm2.TPMTPublic) bool {
	if p.area.Type != template.Type {
		return false // unique is of another kind
	}
	area := p.area
	area.Unique = template.Unique
	return bytes.Equal(tpm2.Marshal(area), tpm2.Marshal(template))
}

func nameOf(hash pcr.Bank, parts ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(hash)), hash.Sum(parts...)...)
}

func publicKey(area *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	switch area.Type {
	case tpm2.TPMAlgRSA:
		return rsaKey(area)
	case tpm2.TPMAlgECC:
		return eccKey(area)
	}
	return nil, fmt.Errorf("key type 0x%04x", uint16(area.Type))
}

// defaultExponent is what an exponent of 0 means (part 2, section 12.2.3.5), as
// every template has it: spelt out it would be the same key under another Name.
const defaultExponent = 65537

func rsaKey(area *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		return nil, err
	}
	unique, err := area.Unique.RSA()
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(unique.Buffer)
	switch parms.KeyBits {
	case 2048, 3072, 4096:
	default:
		return nil, fmt.Errorf("an RSA key of %d bits", parms.KeyBits)
	}
	if len(unique.Buffer) != int(parms.KeyBits)/8 {
		// A longer buffer with zeros in front is the same key under another Name (I01).
		return nil, fmt.Errorf("an RSA modulus of %d bytes for a key of %d bits", len(unique.Buffer), parms.KeyBits)
	}
	if parms.Exponent != 0 || n.BitLen() != int(parms.KeyBits) || n.Bit(0) == 0 {
		return nil, fmt.Errorf("an RSA modulus of %d bits for a key of %d, exponent %d", n.BitLen(), parms.KeyBits, parms.Exponent)
	}
	return &rsa.PublicKey{N: n, E: defaultExponent}, nil
}

func eccKey(area *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	parms, err := area.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	unique, err := area.Unique.ECC()
	if err != nil {
		return nil, err
	}
	curve, ok := map[tpm2.TPMECCCurve]elliptic.Curve{
		tpm2.TPMECCNistP256: elliptic.P256(),
		tpm2.TPMECCNistP384: elliptic.P384(),
		tpm2.TPMECCNistP521: elliptic.P521(),
	}[parms.CurveID]
	if !ok {
		return nil, fmt.Errorf("curve 0x%04x", uint16(parms.CurveID))
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(unique.X.Buffer) != size || len(unique.Y.Buffer) != size {
		return nil, fmt.Errorf("a point of %d and %d bytes, want %d", len(unique.X.Buffer), len(unique.Y.Buffer), size)
	}
	point := append(append([]byte{4}, unique.X.Buffer...), unique.Y.Buffer...)
	return ecdsa.ParseUncompressedPublicKey(curve, point) // refuses a point that is not on the curve
}

// SPKIHash returns the SHA-256 of a key's SubjectPublicKeyInfo, by which peers
// pin each other.
func SPKIHash(key crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(der), nil
}
