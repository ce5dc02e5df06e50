// Package credentialtest is a TPM in software for tests: keys of the right
// templates, an AK that signs whatever a test wants to see refused, and the
// agent's half of the registration as quicklime/registrar/credential specifies
// it.
package credentialtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/registrar/credential"
	"quicklime/wire"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// Machine is a TPM on a connection.
type Machine struct {
	EK, AK, Transport tpm.Public
	Exporter          []byte // of the connection

	ak *ecdsa.PrivateKey
}

// New makes a machine whose EK is on P-256.
func New(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{Exporter: bytes.Repeat([]byte{0xee}, wire.ExporterSize)}
	m.EK, _ = ECC(t, tpm2.ECCEKTemplate)
	m.AK, m.ak = ECC(t, tpm.AKTemplate())
	m.Clear(t)
	return m
}

// Clear does to the machine what TPM2_Clear does: it has another transport key.
func (m *Machine) Clear(t testing.TB) {
	t.Helper()
	m.Transport, _ = ECC(t, tpm.TransportTemplate())
}

// ECC makes a P-256 key of the template.
func ECC(t testing.TB, template tpm2.TPMTPublic) (tpm.Public, *ecdsa.PrivateKey) {
	t.Helper()
	area, key := softtpm.Area(t, template)
	return parse(t, area), key
}

// RSA makes an EK of template L-1.
func RSA(t testing.TB) tpm.Public {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	area := tpm2.RSAEKTemplate
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	return Public(t, area)
}

// Public parses a public area.
func Public(t testing.TB, area tpm2.TPMTPublic) tpm.Public {
	t.Helper()
	return parse(t, tpm2.Marshal(area))
}

func parse(t testing.TB, area []byte) tpm.Public {
	t.Helper()
	p, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// SPKI is the hash of the TLS key.
func (m *Machine) SPKI(t testing.TB) [32]byte {
	t.Helper()
	h, err := tpm.SPKIHash(m.Transport.Key())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Certification is the TPMS_ATTEST of the transport key, open to changes.
type Certification struct {
	Magic         uint32
	Type          uint16
	Signer        []byte // qualified
	Qualifying    []byte
	Name          []byte
	QualifiedName []byte
	Tail          []byte // follows the structure
}

// Certify is what an honest TPM attests.
func (m *Machine) Certify() Certification {
	return Certification{
		Magic: 0xff544347, Type: 0x8017,
		Signer:     m.AK.QualifiedName(tpm.Endorsement),
		Qualifying: m.Qualifying(m.Exporter, m.EK),
		Name:       m.Transport.Name(), QualifiedName: m.Transport.QualifiedName(tpm.Owner),
	}
}

// Qualifying is the qualifying data of the machine's keys for any exporter and
// EK.
func (m *Machine) Qualifying(exporter []byte, ek tpm.Public) []byte {
	q := wire.RegisterQualifying(exporter, ek.Name(), m.AK.Name(), m.Transport.Name())
	return q[:]
}

func (c Certification) bytes() []byte {
	sized := func(b, s []byte) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	b := binary.BigEndian.AppendUint32(nil, c.Magic)
	b = binary.BigEndian.AppendUint16(b, c.Type)
	b = sized(sized(b, c.Signer), c.Qualifying)
	b = append(b, make([]byte, 8+4+4)...) // clock, reset and restart count
	b = append(b, 1)                      // safe
	b = append(b, make([]byte, 8)...)     // firmware
	return append(sized(sized(b, c.Name), c.QualifiedName), c.Tail...)
}

// Sign signs with the AK what no TPM would.
func (m *Machine) Sign(t testing.TB, attest []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(attest)
	r, s, err := ecdsa.Sign(rand.Reader, m.ak, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.Marshal(tpm2.TPMTSignature{
		SigAlg: tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, 32))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, 32))},
		}),
	})
}

// Register is the machine's registration, honest if c is.
func (m *Machine) Register(t testing.TB, c Certification) wire.Register {
	t.Helper()
	return wire.Register{
		Version: wire.ProtocolVersion, Software: "test", Label: "host",
		EKPublic: m.EK.Bytes(), AKPublic: m.AK.Bytes(), Transport: m.Transport.Bytes(),
		Certify: c.bytes(), Signature: m.Sign(t, c.bytes()),
	}
}

// Proof is the HMAC over two frames and an exporter.
func Proof(secret, register, cred, exporter []byte) []byte {
	transcript := sha256.Sum256(append(bytes.Clone(register), cred...))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("quicklime-register/1 proof"))
	mac.Write(transcript[:])
	mac.Write(exporter)
	return mac.Sum(nil)
}

// Challenge takes the machine through registration up to the proof: it returns
// the challenge and both messages as frames. Its secret is known.
func (m *Machine) Challenge(t testing.TB, secret []byte) (ch *credential.Challenge, register, cred []byte) {
	t.Helper()
	r := m.Register(t, m.Certify())
	c, err := credential.Check(r, m.SPKI(t), m.Exporter)
	if err != nil {
		t.Fatal(err)
	}
	ch, object, err := c.Challenge(io.MultiReader(bytes.NewReader(secret), rand.Reader))
	if err != nil {
		t.Fatal(err)
	}
	return ch, frame(t, r), frame(t, object)
}

// Prove registers honestly.
func (m *Machine) Prove(t testing.TB) credential.Proven {
	t.Helper()
	secret := bytes.Repeat([]byte{7}, 32)
	ch, r, c := m.Challenge(t, secret)
	p, err := ch.Verify(wire.Proof{HMAC: Proof(secret, r, c, m.Exporter)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func frame(t testing.TB, m wire.Message) []byte {
	t.Helper()
	b, err := wire.AppendFrame(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
