package credential_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/registrar/credential"
	"quicklime/registrar/credentialtest"
	"quicklime/wire"
	"quicklime/wire/tpm"
)

func check(t testing.TB, m *credentialtest.Machine, r wire.Register) error {
	t.Helper()
	_, err := credential.Check(r, m.SPKI(t), m.Exporter)
	return err
}

func TestCheck(t *testing.T) {
	m := credentialtest.New(t)
	c, err := credential.Check(m.Register(t, m.Certify()), m.SPKI(t), m.Exporter)
	if err != nil {
		t.Fatal(err)
	}
	if c.EK().AgentID() != m.EK.AgentID() {
		t.Errorf("the candidate's EK is %s, want %s", c.EK().AgentID(), m.EK.AgentID())
	}
	m.EK = credentialtest.RSA(t)
	if err := check(t, m, m.Register(t, m.Certify())); err != nil {
		t.Errorf("with an RSA EK: %v", err)
	}
}

func TestI11_CheckRefusesCertification(t *testing.T) {
	m := credentialtest.New(t)
	for name, change := range map[string]func(*credentialtest.Certification){
		"not made by a TPM":             func(c *credentialtest.Certification) { c.Magic++ },
		"of another type":               func(c *credentialtest.Certification) { c.Type = 0x8018 },
		"AK of the owner hierarchy":     func(c *credentialtest.Certification) { c.Signer = m.AK.QualifiedName(tpm.Owner) },
		"no signer":                     func(c *credentialtest.Certification) { c.Signer = nil },
		"of the AK itself":              func(c *credentialtest.Certification) { c.Name = m.AK.Name() },
		"transport key of endorsement":  func(c *credentialtest.Certification) { c.QualifiedName = m.Transport.QualifiedName(tpm.Endorsement) },
		"other qualifying data":         func(c *credentialtest.Certification) { c.Qualifying = bytes.Repeat([]byte{1}, 32) },
		"no qualifying data":            func(c *credentialtest.Certification) { c.Qualifying = nil },
		"qualifying of another session": func(c *credentialtest.Certification) { c.Qualifying = m.Qualifying(make([]byte, 32), m.EK) },
		"qualifying of another EK":      func(c *credentialtest.Certification) { c.Qualifying = m.Qualifying(m.Exporter, m.AK) },
		"trailing byte":                 func(c *credentialtest.Certification) { c.Tail = []byte{0} },
	} {
		c := m.Certify()
		change(&c)
		if err := check(t, m, m.Register(t, c)); !errors.Is(err, credential.ErrKeys) {
			t.Errorf("%s: error %v, want ErrKeys", name, err)
		}
	}
}

func TestI11_CheckRefusesQuote(t *testing.T) {
	m := credentialtest.New(t)
	c := m.Certify()
	c.Type, c.Name, c.QualifiedName, c.Tail = 0x8018, nil, nil, []byte{0, 0} // no PCRs, no digest
	if err := check(t, m, m.Register(t, c)); !errors.Is(err, credential.ErrKeys) || !strings.Contains(err.Error(), "type 0x8018") {
		t.Errorf("error %v, want ErrKeys because of the type", err)
	}
}

func TestI11_CheckRefusesKeys(t *testing.T) {
	honest := credentialtest.New(t)
	for name, c := range map[string]struct {
		want   error
		change func(m *credentialtest.Machine) // before everything is signed
	}{
		"EK with another policy": {credential.ErrEK, func(m *credentialtest.Machine) {
			m.EK = changed(t, m.EK, func(a *tpm2.TPMTPublic) { a.AuthPolicy.Buffer = make([]byte, 32) })
		}},
		"EK that signs": {credential.ErrEK, func(m *credentialtest.Machine) {
			m.EK = changed(t, m.EK, func(a *tpm2.TPMTPublic) { a.ObjectAttributes.SignEncrypt = true })
		}},
		"EK of template H-3": {credential.ErrEK, func(m *credentialtest.Machine) { m.EK = p384(t) }},
		"AK as EK":           {credential.ErrEK, func(m *credentialtest.Machine) { m.EK = m.AK }},
		"AK not restricted": {credential.ErrKeys, func(m *credentialtest.Machine) {
			m.AK = changed(t, m.AK, func(a *tpm2.TPMTPublic) { a.ObjectAttributes.Restricted = false })
		}},
		"AK not fixed to the TPM": {credential.ErrKeys, func(m *credentialtest.Machine) {
			m.AK = changed(t, m.AK, func(a *tpm2.TPMTPublic) { a.ObjectAttributes.FixedTPM = false })
		}},
		"RSA AK":              {credential.ErrKeys, func(m *credentialtest.Machine) { m.AK = credentialtest.RSA(t) }},
		"transport key as AK": {credential.ErrKeys, func(m *credentialtest.Machine) { m.AK = m.Transport }},
		"transport key restricted": {credential.ErrKeys, func(m *credentialtest.Machine) {
			m.Transport = changed(t, m.Transport, func(a *tpm2.TPMTPublic) { a.ObjectAttributes.Restricted = true })
		}},
		"transport key imported": {credential.ErrKeys, func(m *credentialtest.Machine) {
			m.Transport = changed(t, m.Transport, func(a *tpm2.TPMTPublic) { a.ObjectAttributes.SensitiveDataOrigin = false })
		}},
		"RSA transport key": {credential.ErrKeys, func(m *credentialtest.Machine) { m.Transport = credentialtest.RSA(t) }},
	} {
		m := *honest
		c.change(&m)
		if err := check(t, &m, m.Register(t, m.Certify())); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func changed(t testing.TB, p tpm.Public, change func(*tpm2.TPMTPublic)) tpm.Public {
	t.Helper()
	area := p.Area()
	change(&area)
	return credentialtest.Public(t, area)
}

// p384 returns an EK of the profile's template H-3, which is not supported.
func p384(t testing.TB) tpm.Public {
	t.Helper()
	key, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := key.PublicKey().Bytes()
	area := tpm2.ECCEKTemplate
	area.NameAlg = tpm2.TPMAlgSHA384
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: tpm2.TPMTSymDefObject{
			Algorithm: tpm2.TPMAlgAES,
			KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)),
			Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
		},
		CurveID: tpm2.TPMECCNistP384,
	})
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: point[1:49]}, Y: tpm2.TPM2BECCParameter{Buffer: point[49:]},
	})
	return credentialtest.Public(t, area)
}

func TestI11_CheckRefusesMessage(t *testing.T) {
	m, other := credentialtest.New(t), credentialtest.New(t)
	for name, c := range map[string]struct {
		want   error
		change func(*wire.Register)
	}{
		"EK cut":              {credential.ErrEK, func(r *wire.Register) { r.EKPublic = r.EKPublic[:len(r.EKPublic)-1] }},
		"AK cut":              {credential.ErrKeys, func(r *wire.Register) { r.AKPublic = r.AKPublic[:len(r.AKPublic)-1] }},
		"transport key cut":   {credential.ErrKeys, func(r *wire.Register) { r.Transport = r.Transport[:len(r.Transport)-1] }},
		"certification cut":   {credential.ErrKeys, func(r *wire.Register) { r.Certify = r.Certify[:len(r.Certify)-1] }},
		"signature cut":       {credential.ErrKeys, func(r *wire.Register) { r.Signature = r.Signature[:len(r.Signature)-1] }},
		"signature changed":   {credential.ErrKeys, func(r *wire.Register) { r.Signature[len(r.Signature)-1] ^= 1 }},
		"signed by another":   {credential.ErrKeys, func(r *wire.Register) { r.Signature = other.Sign(t, r.Certify) }},
		"another TPM's EK":    {credential.ErrKeys, func(r *wire.Register) { r.EKPublic = other.EK.Bytes() }},
		"another TPM's AK":    {credential.ErrKeys, func(r *wire.Register) { r.AKPublic = other.AK.Bytes() }},
		"another TPM's TLS":   {credential.ErrKeys, func(r *wire.Register) { r.Transport = other.Transport.Bytes() }},
		"of another version":  {credential.ErrKeys, func(r *wire.Register) { r.Version++ }},
		"with a strange name": {credential.ErrKeys, func(r *wire.Register) { r.Label = "\x1b[2J" }},
	} {
		r := m.Register(t, m.Certify())
		c.change(&r)
		if err := check(t, m, r); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckRefusesEveryCut(t *testing.T) {
	m := credentialtest.New(t)
	withRSA := *m
	withRSA.EK = credentialtest.RSA(t)
	for _, m := range []*credentialtest.Machine{m, &withRSA} {
		honest := m.Register(t, m.Certify())
		for name, field := range map[string]func(*wire.Register) *[]byte{
			"EK":            func(r *wire.Register) *[]byte { return &r.EKPublic },
			"AK":            func(r *wire.Register) *[]byte { return &r.AKPublic },
			"transport key": func(r *wire.Register) *[]byte { return &r.Transport },
			"certification": func(r *wire.Register) *[]byte { return &r.Certify },
			"signature":     func(r *wire.Register) *[]byte { return &r.Signature },
		} {
			whole := *field(&honest)
			for n := range whole {
				r := honest
				*field(&r) = whole[:n]
				if err := check(t, m, r); !errors.Is(err, credential.ErrEK) && !errors.Is(err, credential.ErrKeys) {
					t.Errorf("the first %d of the %d bytes of %s: error %v, want ErrEK or ErrKeys", n, len(whole), name, err)
				}
			}
		}
	}
}

func TestI11_CheckRefusesConnection(t *testing.T) {
	m := credentialtest.New(t)
	r := m.Register(t, m.Certify())
	if _, err := credential.Check(r, [32]byte{}, m.Exporter); !errors.Is(err, credential.ErrKeys) || !strings.Contains(err.Error(), "key of the connection") {
		t.Errorf("another TLS key: error %v", err)
	}
	for _, exporter := range [][]byte{nil, m.Exporter[:31], bytes.Repeat([]byte{0xef}, 32)} {
		if _, err := credential.Check(r, m.SPKI(t), exporter); !errors.Is(err, credential.ErrKeys) {
			t.Errorf("exporter %x: error %v, want ErrKeys", exporter, err)
		}
	}
	m.Exporter = m.Exporter[:31] // certified with it
	if err := check(t, m, m.Register(t, m.Certify())); !errors.Is(err, credential.ErrKeys) {
		t.Errorf("an exporter of 31 bytes on both sides: error %v, want ErrKeys", err)
	}
}

func FuzzCheck(f *testing.F) {
	m := credentialtest.New(f)
	spki := m.SPKI(f)
	r := m.Register(f, m.Certify())
	f.Add(r.EKPublic, r.AKPublic, r.Transport, r.Certify, r.Signature)
	f.Add(r.AKPublic, r.EKPublic, r.Transport, r.Certify, r.Signature)
	f.Add(r.EKPublic, r.AKPublic, r.EKPublic, r.Certify, r.Signature)
	f.Fuzz(func(t *testing.T, ek, ak, transport, certify, signature []byte) {
		h := r
		h.EKPublic, h.AKPublic, h.Transport, h.Certify, h.Signature = ek, ak, transport, certify, signature
		c, err := credential.Check(h, spki, m.Exporter)
		if err != nil && !errors.Is(err, credential.ErrEK) && !errors.Is(err, credential.ErrKeys) {
			t.Errorf("error %v wraps neither ErrEK nor ErrKeys", err)
		}
		if err == nil && c.EK().AgentID() != m.EK.AgentID() {
			t.Errorf("the AK certified nothing for EK %x", ek)
		}
	})
}
