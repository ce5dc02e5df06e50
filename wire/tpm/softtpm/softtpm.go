// Package softtpm signs what a TPM would sign, with a key in memory, for tests of
// packages that check such signatures. It can sign lies, which a TPM cannot. It
// is imported by tests only.
package softtpm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// AK is an attestation key of the protocol's template. The exported fields after
// Private go into what it attests.
type AK struct {
	Public   tpm.Public
	Private  *ecdsa.PrivateKey
	Clock    uint64
	Counters wire.BootCounters
	Firmware uint64
}

// New makes an AK.
func New(t testing.TB) *AK { return newKey(t, tpm.AKTemplate()) }

// NewTransport makes a key of the transport key's template.
func NewTransport(t testing.TB) *AK { return newKey(t, tpm.TransportTemplate()) }

func newKey(t testing.TB, template tpm2.TPMTPublic) *AK {
	t.Helper()
	area, key := Area(t, template)
	public, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	return &AK{Public: public, Private: key, Clock: 1000, Counters: wire.BootCounters{Reset: 1}, Firmware: 1}
}

// Area returns a TPMT_PUBLIC of the template, which is of a key on P-256, with a fresh
// key in it.
func Area(t testing.TB, template tpm2.TPMTPublic) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4 ‖ X ‖ Y
	if err != nil {
		t.Fatal(err)
	}
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: point[1:33]},
		Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
	})
	return tpm2.Marshal(template), key
}

// Quote returns the TPMS_ATTEST of a quote over the values.
func (k *AK) Quote(v pcr.Values, extraData []byte) []byte {
	b := k.header(tpm.AttestQuote, extraData)
	b = v.Selection().AppendTPM(b)
	return sized(b, v.Digest(k.Public.SigningHash()))
}

// Certify returns the TPMS_ATTEST of a certification of the key with this Name.
func (k *AK) Certify(name, extraData []byte) []byte {
	b := k.header(tpm.AttestCertify, extraData)
	return sized(sized(b, name), name)
}

func (k *AK) header(t tpm.AttestType, extraData []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0xff544347)
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = sized(b, k.Public.QualifiedName(tpm.Endorsement))
	b = sized(b, extraData)
	b = binary.BigEndian.AppendUint64(b, k.Clock)
	b = binary.BigEndian.AppendUint32(b, k.Counters.Reset)
	b = binary.BigEndian.AppendUint32(b, k.Counters.Restart)
	b = append(b, 1)
	return binary.BigEndian.AppendUint64(b, k.Firmware)
}

// Sign returns a TPMT_SIGNATURE over any bytes.
func (k *AK) Sign(message []byte) []byte {
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k.Private, digest[:])
	if err != nil {
		panic(err) // the key is sound and crypto/rand does not fail
	}
	b := []byte{0, 0x18, 0, 0x0b}
	return sized(sized(b, r.FillBytes(make([]byte, 32))), s.FillBytes(make([]byte, 32)))
}

// Quoter returns an envelope.Quoter over the values.
func (k *AK) Quoter(v pcr.Values) func([]byte) ([]byte, []byte, error) {
	return func(extraData []byte) ([]byte, []byte, error) {
		attest := k.Quote(v, extraData)
		return attest, k.Sign(attest), nil
	}
}

func sized(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
	return append(b, v...)
}
