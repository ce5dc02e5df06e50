package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/tpm"
)

// secretSize is the length of a credential's secret: the digest size of both
// templates' name algorithm, the most that their EK can open.
const secretSize = sha256.Size // bytes

// Challenge is a credential that was made and not yet answered. It belongs to
// one connection and one goroutine.
type Challenge struct {
	candidate Candidate
	want      []byte // the one right HMAC; nil after the one try
}

// Challenge makes a credential that only the TPM with the candidate's EK and AK
// can open. random must be cryptographically secure; the first 32 bytes read are
// the secret. The error wraps ErrEK.
func (c Candidate) Challenge(random io.Reader) (*Challenge, wire.Credential, error) {
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, wire.Credential{}, fmt.Errorf("credential secret: %w", err)
	}
	area := c.ek.Area()
	key, err := tpm2.ImportEncapsulationKey(&area)
	if err != nil {
		return nil, wire.Credential{}, fmt.Errorf("%w: %w", ErrEK, err)
	}
	object, encrypted, err := tpm2.CreateCredential(random, key, c.ak.Name(), secret)
	if err != nil {
		return nil, wire.Credential{}, fmt.Errorf("%w: make credential: %w", ErrEK, err)
	}
	m := wire.Credential{Object: object, Secret: encrypted}
	frame, err := wire.AppendFrame(nil, m)
	if err != nil {
		return nil, wire.Credential{}, err
	}
	return &Challenge{c, wire.RegisterProof(secret, c.register, frame, c.exporter)}, m, nil
}

// Proven are the keys of one TPM. Only Challenge.Verify fills one; the zero
// Proven holds no keys.
type Proven struct {
	ek, ak, transport tpm.Public
}

// EK returns the endorsement key: who the TPM is.
func (p Proven) EK() tpm.Public { return p.ek }

// AK returns the attestation key.
func (p Proven) AK() tpm.Public { return p.ak }

// Transport returns the TLS key.
func (p Proven) Transport() tpm.Public { return p.transport }

// ID returns the agent id.
func (p Proven) ID() string { return p.ek.AgentID() }

// Verify checks the proof in constant time. There is one try: whatever comes of
// it, the challenge is spent (I09). The error wraps ErrProof.
func (ch *Challenge) Verify(p wire.Proof) (Proven, error) {
	want := ch.want
	ch.want = nil
	if want == nil {
		return Proven{}, fmt.Errorf("%w: the challenge was answered before", ErrProof)
	}
	if !hmac.Equal(want, p.HMAC) {
		return Proven{}, fmt.Errorf("%w: the HMAC is wrong: the credential was not opened, or on another connection", ErrProof)
	}
	c := ch.candidate
	return Proven{c.ek, c.ak, c.transport}, nil
}
