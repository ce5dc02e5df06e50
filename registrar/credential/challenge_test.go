package credential_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"quicklime/registrar/credential"
	"quicklime/registrar/credentialtest"
	"quicklime/wire"
)

var secret = bytes.Repeat([]byte{7}, 32)

func TestVerify(t *testing.T) {
	withRSA := credentialtest.New(t)
	withRSA.EK = credentialtest.RSA(t)
	for _, m := range []*credentialtest.Machine{credentialtest.New(t), withRSA} {
		p := m.Prove(t)
		if p.ID() != m.EK.AgentID() || !bytes.Equal(p.EK().Bytes(), m.EK.Bytes()) ||
			!bytes.Equal(p.AK().Bytes(), m.AK.Bytes()) || !bytes.Equal(p.Transport().Bytes(), m.Transport.Bytes()) {
			t.Errorf("other keys were proven than registered")
		}
	}
}

func TestI11_VerifyRefuses(t *testing.T) {
	m := credentialtest.New(t)
	for name, hmac := range map[string]func(r, c []byte) []byte{
		"another secret":      func(r, c []byte) []byte { return wire.RegisterProof(bytes.Repeat([]byte{8}, 32), r, c, m.Exporter) },
		"another register":    func(r, c []byte) []byte { return wire.RegisterProof(secret, append(bytes.Clone(r), 0), c, m.Exporter) },
		"another credential":  func(r, c []byte) []byte { return wire.RegisterProof(secret, r, c[:len(c)-1], m.Exporter) },
		"another exporter":    func(r, c []byte) []byte { return wire.RegisterProof(secret, r, c, make([]byte, 32)) },
		"one bit changed":     func(r, c []byte) []byte { b := wire.RegisterProof(secret, r, c, m.Exporter); b[31] ^= 1; return b },
		"first half":          func(r, c []byte) []byte { return wire.RegisterProof(secret, r, c, m.Exporter)[:16] },
		"nothing":             func(_, _ []byte) []byte { return nil },
		"the secret itself":   func(_, _ []byte) []byte { return secret },
		"messages exchanged":  func(r, c []byte) []byte { return wire.RegisterProof(secret, c, r, m.Exporter) },
		"exporter left out":   func(r, c []byte) []byte { return wire.RegisterProof(secret, r, c, nil) },
		"credential left out": func(r, c []byte) []byte { return wire.RegisterProof(secret, r, nil, m.Exporter) },
	} {
		ch, r, c := m.Challenge(t, secret)
		if p, err := ch.Verify(wire.Proof{HMAC: hmac(r, c)}); !errors.Is(err, credential.ErrProof) {
			t.Errorf("%s: Verify = %v, %v, want ErrProof", name, p, err)
		}
	}
}

func TestI09_OneTryPerChallenge(t *testing.T) {
	m := credentialtest.New(t)
	ch, r, c := m.Challenge(t, secret)
	if _, err := ch.Verify(wire.Proof{HMAC: make([]byte, 32)}); !errors.Is(err, credential.ErrProof) {
		t.Fatalf("a wrong proof: %v", err)
	}
	if _, err := ch.Verify(wire.Proof{HMAC: wire.RegisterProof(secret, r, c, m.Exporter)}); !errors.Is(err, credential.ErrProof) {
		t.Errorf("the right proof after a wrong one: %v, want ErrProof", err)
	}
	ch, r, c = m.Challenge(t, secret)
	right := wire.Proof{HMAC: wire.RegisterProof(secret, r, c, m.Exporter)}
	if _, err := ch.Verify(right); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Verify(right); !errors.Is(err, credential.ErrProof) {
		t.Errorf("the right proof twice: %v, want ErrProof", err)
	}
	if _, err := new(credential.Challenge).Verify(wire.Proof{}); !errors.Is(err, credential.ErrProof) {
		t.Errorf("an empty proof of no challenge: %v, want ErrProof", err)
	}
}

func TestChallengeRefuses(t *testing.T) {
	if _, _, err := (credential.Candidate{}).Challenge(rand.Reader); !errors.Is(err, credential.ErrEK) {
		t.Errorf("no candidate: %v, want ErrEK", err)
	}
	m := credentialtest.New(t)
	c, err := credential.Check(m.Register(t, m.Certify()), m.SPKI(t), m.Exporter)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Challenge(bytes.NewReader(secret[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness: %v", err)
	}
}
