package envelope_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

var (
	exporter = bytes.Repeat([]byte{7}, wire.ExporterSize)
	agentID  = strings.Repeat("a1", 32)
	payload  = envelope.Payload{Nonce: bytes.Repeat([]byte{9}, wire.NonceSize), AgentID: agentID, Trigger: wire.TriggerGrowth}
)

// values are the PCRs that the tests quote.
func values(t testing.TB) pcr.Values {
	t.Helper()
	v, err := pcr.NewValues(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(10)}}, [][]byte{bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t testing.TB, k *softtpm.AK) []byte {
	t.Helper()
	b, err := envelope.Seal(payload, k.Public, exporter, k.Quoter(values(t)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealAndOpen(t *testing.T) {
	k := softtpm.New(t)
	o, err := envelope.Open(seal(t, k), k.Public, agentID, exporter)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(payload, o.Payload()); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(o.Attest().PCRDigest, values(t).Digest(o.AK().SigningHash())) {
		t.Errorf("pcrDigest %x", o.Attest().PCRDigest)
	}
}

func TestI07_EveryCutAndEveryOtherByteFails(t *testing.T) {
	k := softtpm.New(t)
	b := seal(t, k)
	for cut := range b {
		if _, err := envelope.Open(b[:cut], k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := envelope.Open(c, k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := envelope.Open(append(bytes.Clone(b), 0), k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) {
		t.Fatalf("a trailing byte: %v", err)
	}
}

func TestI07_I11_I13_OpenRefusesWhatIsForAnother(t *testing.T) {
	k, other := softtpm.New(t), softtpm.New(t)
	b := seal(t, k)
	for name, c := range map[string]struct {
		ak       tpm.Public
		agent    string
		exporter []byte
	}{
		"AK":         {other.Public, agentID, exporter},
		"agent":      {k.Public, strings.Repeat("b2", 32), exporter},
		"connection": {k.Public, agentID, bytes.Repeat([]byte{8}, wire.ExporterSize)},
	} {
		if _, err := envelope.Open(b, c.ak, c.agent, c.exporter); !errors.Is(err, envelope.ErrInvalid) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// Each header is refused although the AK has signed it.
func TestI07_OpenRefusesOtherHeaders(t *testing.T) {
	k := softtpm.New(t)
	kid := k.Public.Name()
	good := cose.Headers{Protected: cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: envelope.AlgorithmES256,
		cose.HeaderLabelKeyID:     kid,
		cose.HeaderLabelType:      "application/eat+cwt",
	}}
	with := func(change func(*cose.Headers)) cose.Headers {
		h := cose.Headers{Protected: cose.ProtectedHeader{}, Unprotected: cose.UnprotectedHeader{}}
		for label, v := range good.Protected {
			h.Protected[label] = v
		}
		change(&h)
		return h
	}
	for name, h := range map[string]cose.Headers{
		"none":            with(func(*cose.Headers) {}),
		"plain ES256":     with(func(h *cose.Headers) { h.Protected[cose.HeaderLabelAlgorithm] = cose.AlgorithmES256 }),
		"RSASSA":          with(func(h *cose.Headers) { h.Protected[cose.HeaderLabelAlgorithm] = cose.Algorithm(-65538) }),
		"another kid":     with(func(h *cose.Headers) { h.Protected[cose.HeaderLabelKeyID] = bytes.Repeat([]byte{0}, 34) }),
		"no kid":          with(func(h *cose.Headers) { delete(h.Protected, cose.HeaderLabelKeyID) }),
		"another typ":     with(func(h *cose.Headers) { h.Protected[cose.HeaderLabelType] = "application/cwt" }),
		"no typ":          with(func(h *cose.Headers) { delete(h.Protected, cose.HeaderLabelType) }),
		"one more":        with(func(h *cose.Headers) { h.Protected[int64(33)] = []byte("certificate") }),
		"one unprotected": with(func(h *cose.Headers) { h.Unprotected[cose.HeaderLabelKeyID] = kid }),
		"a critical unknown": with(func(h *cose.Headers) {
			h.Protected[cose.HeaderLabelCritical] = []any{int64(99)}
			h.Protected[int64(99)] = 1
		}),
	} {
		m := cose.Sign1Message{Headers: h, Payload: claims(t, nil)}
		if err := m.Sign(rand.Reader, aad(t), signer{t, k, h.Protected[cose.HeaderLabelAlgorithm].(cose.Algorithm)}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		_, err = envelope.Open(b, k.Public, agentID, exporter)
		if (err == nil) != (name == "none") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each payload is refused although the AK has signed it.
func TestI03_I04_I07_OpenRefusesOtherPayloads(t *testing.T) {
	k := softtpm.New(t)
	for name, change := range map[string]func(map[any]any){
		"none":            func(map[any]any) {},
		"another profile": func(m map[any]any) { m[265] = "urn:x-quicklime:attest:2" },
		"a short nonce":   func(m map[any]any) { m[10] = make([]byte, 31) },
		"no nonce":        func(m map[any]any) { delete(m, 10) },
		"another ueid":    func(m map[any]any) { m[256] = append([]byte{2}, bytes.Repeat([]byte{0xa1}, 32)...) },
		"no ueid":         func(m map[any]any) { m[256] = []byte{} },
		"another trigger": func(m map[any]any) { m[-70001] = "whim" },
		"one more claim":  func(m map[any]any) { m[6] = 1 },
		"a long ueid":     func(m map[any]any) { m[256] = append(m[256].([]byte), 0) },
		"deep nesting":    func(m map[any]any) { m[6] = []any{[]any{[]any{[]any{[]any{}}}}} },
	} {
		m := cose.Sign1Message{Headers: cose.Headers{Protected: cose.ProtectedHeader{
			cose.HeaderLabelAlgorithm: envelope.AlgorithmES256,
			cose.HeaderLabelKeyID:     k.Public.Name(),
			cose.HeaderLabelType:      "application/eat+cwt",
		}}, Payload: claims(t, change)}
		if err := m.Sign(rand.Reader, aad(t), signer{t, k, envelope.AlgorithmES256}); err != nil {
			t.Fatal(err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.Open(b, k.Public, agentID, exporter); (err == nil) != (name == "none") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A restricted AK may sign a Sig_structure through TPM2_Hash and TPM2_Sign. That
// is no quote, whatever is put around it.
func TestI07_OpenRefusesASignatureThatIsNoQuote(t *testing.T) {
	k := softtpm.New(t)
	for name, q := range map[string]envelope.Quoter{
		"over the message itself": func(extra []byte) ([]byte, []byte, error) {
			return extra, k.Sign(extra), nil
		},
		"a certification": func(extra []byte) ([]byte, []byte, error) {
			attest := k.Certify(k.Public.Name(), extra)
			return attest, k.Sign(attest), nil
		},
		"by the same key in the owner hierarchy": func(extra []byte) ([]byte, []byte, error) {
			attest := bytes.Replace(k.Quote(values(t), extra), k.Public.QualifiedName(tpm.Endorsement), k.Public.QualifiedName(tpm.Owner), 1)
			return attest, k.Sign(attest), nil
		},
		"without the magic": func(extra []byte) ([]byte, []byte, error) {
			attest := k.Quote(values(t), extra)
			binary.BigEndian.PutUint32(attest, 0)
			return attest, k.Sign(attest), nil
		},
		"with a trailing byte": func(extra []byte) ([]byte, []byte, error) {
			attest := append(k.Quote(values(t), extra), 0)
			return attest, k.Sign(attest), nil
		},
		"over other extraData": func(extra []byte) ([]byte, []byte, error) {
			other := sha256.Sum256(extra)
			attest := k.Quote(values(t), other[:])
			return attest, k.Sign(attest), nil
		},
	} {
		b, err := envelope.Seal(payload, k.Public, exporter, q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.Open(b, k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// I07: a key that signs what it is given could sign a quote that no TPM made.
func TestI07_AKThatIsNotRestrictedIsRefused(t *testing.T) {
	k := softtpm.NewTransport(t)
	m := cose.Sign1Message{Headers: cose.Headers{Protected: cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: envelope.AlgorithmES256,
		cose.HeaderLabelKeyID:     k.Public.Name(),
		cose.HeaderLabelType:      "application/eat+cwt",
	}}, Payload: claims(t, nil)}
	if err := m.Sign(rand.Reader, aad(t), signer{t, k, envelope.AlgorithmES256}); err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Open(b, k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) {
		t.Error(err)
	}
}

// I13: a part of an exporter would bind to as many connections as share it.
func TestI13_ExporterIsWhole(t *testing.T) {
	k := softtpm.New(t)
	b := seal(t, k)
	for _, part := range [][]byte{nil, exporter[:31], append(bytes.Clone(exporter), 0)} {
		if _, err := envelope.Seal(payload, k.Public, part, k.Quoter(values(t))); err == nil {
			t.Errorf("sealed for an exporter of %d bytes", len(part))
		}
		if _, err := envelope.Open(b, k.Public, agentID, part); !errors.Is(err, envelope.ErrInvalid) {
			t.Errorf("opened with an exporter of %d bytes: %v", len(part), err)
		}
	}
}

func TestI04_OversizeEnvelopeIsRefused(t *testing.T) {
	k := softtpm.New(t)
	if _, err := envelope.Open(make([]byte, wire.MaxEnvelope+1), k.Public, agentID, exporter); !errors.Is(err, envelope.ErrInvalid) || !strings.Contains(err.Error(), "limit is") {
		t.Error(err)
	}
}

// signer signs as the AK, under any algorithm.
type signer struct {
	t   testing.TB
	k   *softtpm.AK
	alg cose.Algorithm
}

func (s signer) Algorithm() cose.Algorithm { return s.alg }

func (s signer) Sign(_ io.Reader, content []byte) ([]byte, error) {
	extra := sha256.Sum256(content)
	attest, signature, err := s.k.Quoter(values(s.t))(extra[:])
	if err != nil {
		return nil, err
	}
	return encode(s.t, [][]byte{attest, signature}), nil
}

func aad(t testing.TB) []byte { return encode(t, []any{"quicklime-attest/1", exporter}) }

func claims(t testing.TB, change func(map[any]any)) []byte {
	m := map[any]any{10: payload.Nonce, 256: append([]byte{1}, bytes.Repeat([]byte{0xa1}, 32)...), 265: "urn:x-quicklime:attest:1", -70001: "growth"}
	if change != nil {
		change(m)
	}
	return encode(t, m)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	k := softtpm.New(f)
	f.Add(seal(f, k))
	f.Fuzz(func(t *testing.T, b []byte) { envelope.Open(b, k.Public, agentID, exporter) })
}

// BenchmarkOpen prints what an envelope costs beside the one signature check
// that it needs.
func BenchmarkOpen(b *testing.B) {
	k := softtpm.New(b)
	sealed := seal(b, k)
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := envelope.Open(sealed, k.Public, agentID, exporter); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		digest := sha256.Sum256(sealed)
		sig, err := ecdsa.SignASN1(rand.Reader, k.Private, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.VerifyASN1(&k.Private.PublicKey, digest[:], sig) {
				b.Fatal("not verified")
			}
		}
	})
}
