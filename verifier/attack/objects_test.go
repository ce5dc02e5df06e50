package attack_test

import (
	"crypto/sha256"
	"io"

	"github.com/google/go-tpm/tpm2"
	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/strictcbor"
	"quicklime/wire/tpm"
)

// objects are COSE objects other than the one encoding of good evidence, each with
// a true signature over what it says (I07).
var objects = []attack{
	{"an ES256 signature by the AK over a hashed Sig_structure", heading, unsigned, resealed(cose.AlgorithmES256, nil, func(k *session, content []byte) []byte {
		return coseSignature(k, k.signHashed(content))
	})},
	{"the same as TPM-QUOTE-ES256", beginning, unsigned, resealed(envelope.AlgorithmES256, nil, func(k *session, content []byte) []byte {
		return pair(k, content, k.signHashed(content))
	})},
	{"the same with a quote's head", proving, unsigned, resealed(envelope.AlgorithmES256, nil, func(k *session, content []byte) []byte {
		attest, _ := k.quote(content)
		return pair(k, attest, k.signHashed(content))
	})},
	{"an unprotected header", heading, unsigned, resealed(envelope.AlgorithmES256, func(k *session, h *cose.Headers) {
		h.Unprotected = cose.UnprotectedHeader{cose.HeaderLabelContentType: "text/plain"}
	}, quoted)},
	{"another alg", heading, unsigned, resealed(-65538, nil, quoted)},
	{"another kid", heading, unsigned, resealed(envelope.AlgorithmES256, func(k *session, h *cose.Headers) {
		h.Protected[cose.HeaderLabelKeyID] = make([]byte, 34)
	}, quoted)},
	{"another typ", heading, unsigned, resealed(envelope.AlgorithmES256, func(k *session, h *cose.Headers) {
		h.Protected[cose.HeaderLabelType] = "application/cwt"
	}, quoted)},
	{"a further protected header", heading, unsigned, resealed(envelope.AlgorithmES256, func(k *session, h *cose.Headers) {
		h.Protected[cose.HeaderLabelContentType] = "text/plain"
	}, quoted)},
}

// resealed has the machine seal its evidence under other headers or with another
// signature. The payload is the agent's.
func resealed(alg cose.Algorithm, headers func(*session, *cose.Headers), sign func(*session, []byte) []byte) func(k *session) {
	return func(k *session) {
		t := k.testify(k.nonce)
		var m cose.Sign1Message
		if err := m.UnmarshalCBOR(t.envelope); err != nil {
			k.t.Fatal(err)
		}
		m.Headers.RawProtected, m.Headers.RawUnprotected, m.Signature = nil, nil, nil
		m.Headers.Protected[cose.HeaderLabelAlgorithm] = alg
		if headers != nil {
			headers(k, &m.Headers)
		}
		aad, err := strictcbor.Marshal([]any{wire.ALPNAttest, k.conn.Exporter()})
		if err != nil {
			k.t.Fatal(err)
		}
		if err := m.Sign(nil, aad, signer{alg, func(content []byte) []byte { return sign(k, content) }}); err != nil {
			k.t.Fatal(err)
		}
		if t.envelope, err = m.MarshalCBOR(); err != nil {
			k.t.Fatal(err)
		}
		k.refused(t)
	}
}

// signer signs a COSE object in any way.
type signer struct {
	alg  cose.Algorithm
	sign func(content []byte) []byte
}

func (s signer) Algorithm() cose.Algorithm { return s.alg }

func (s signer) Sign(_ io.Reader, content []byte) ([]byte, error) { return s.sign(content), nil }

// quoted is the signature that evidence has.
func quoted(k *session, content []byte) []byte {
	attest, signature := k.quote(content)
	return pair(k, attest, signature)
}

func (k *session) quote(content []byte) (attest, signature []byte) {
	k.t.Helper()
	extra := sha256.Sum256(content)
	attest, signature, err := k.device.Quote(k.welcome.Selection, extra[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return attest, signature
}

func pair(k *session, attest, signature []byte) []byte {
	b, err := strictcbor.Marshal([][]byte{attest, signature})
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

// signHashed has the AK sign bytes that the TPM hashed, which a restricted key
// does if they do not begin with TPM_GENERATED.
func (m *machine) signHashed(content []byte) []byte {
	m.t.Helper()
	s, err := m.trySignHashed(content)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// trySignHashed returns a TPMT_SIGNATURE.
func (m *machine) trySignHashed(content []byte) ([]byte, error) {
	m.t.Helper()
	ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm.AKTemplate())}.Execute(m.raw())
	if err != nil {
		m.t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: ak.ObjectHandle}.Execute(m.raw())
	hashed, err := tpm2.Hash{Data: tpm2.TPM2BMaxBuffer{Buffer: content}, HashAlg: tpm2.TPMAlgSHA256, Hierarchy: tpm2.TPMRHEndorsement}.Execute(m.raw())
	if err != nil {
		m.t.Fatal(err)
	}
	rsp, err := tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		Digest:     hashed.OutHash,
		Validation: hashed.Validation,
	}.Execute(m.raw())
	if err != nil {
		return nil, err
	}
	return tpm2.Marshal(rsp.Signature), nil
}

// coseSignature is a TPMT_SIGNATURE as ES256 has it (RFC 9053, section 2.1).
func coseSignature(k *session, signature []byte) []byte {
	s, err := tpm2.Unmarshal[tpm2.TPMTSignature](signature)
	if err != nil {
		k.t.Fatal(err)
	}
	ec, err := s.Signature.ECDSA()
	if err != nil {
		k.t.Fatal(err)
	}
	b := make([]byte, 64)
	copy(b[32-len(ec.SignatureR.Buffer):], ec.SignatureR.Buffer)
	copy(b[64-len(ec.SignatureS.Buffer):], ec.SignatureS.Buffer)
	return b
}
