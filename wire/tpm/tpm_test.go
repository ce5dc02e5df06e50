package tpm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// capture returns a file of the capture that has quotes by three kinds of AK.
func capture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/captures/direct-6.1-ima-ng", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// public returns a captured public area, which is in a TPM2B_PUBLIC.
func public(t testing.TB, name string) tpm.Public {
	t.Helper()
	p, err := tpm.ParsePublic(capture(t, name+".pub.tpm2b_public.bin")[2:])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCapturedQuotesVerify(t *testing.T) {
	for _, ak := range []string{"ecc", "ehecc", "rsa"} {
		for bank, size := range map[string]int{"sha1": 20, "sha256": 32} {
			key := public(t, "ak_"+ak)
			attest := capture(t, "quote_"+ak+"_"+bank+".tpms_attest.bin")
			signature := capture(t, "quote_"+ak+"_"+bank+".tpmt_signature.bin")
			if err := key.VerifySignature(attest, signature); err != nil {
				t.Errorf("%s %s: %v", ak, bank, err)
			}
			a, err := tpm.ParseAttest(attest)
			if err != nil {
				t.Fatal(err)
			}
			if a.Type != tpm.AttestQuote || len(a.PCRDigest) != 32 || len(a.Selection) != 1 || a.Selection[0].Bank.Size() != size {
				t.Errorf("%s %s: %+v", ak, bank, a)
			}
			endorsed := bytes.Equal(a.QualifiedSigner, key.QualifiedName(tpm.Endorsement))
			if endorsed != (ak == "ehecc") {
				t.Errorf("%s: primary of the endorsement hierarchy: %v", ak, endorsed)
			}
		}
	}
}

func TestCountersAreTrueUnderTheEndorsementHierarchy(t *testing.T) {
	a, err := tpm.ParseAttest(capture(t, "quote_ehecc_sha256.tpms_attest.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if (a.Counters != wire.BootCounters{Reset: 2}) || !a.Safe || a.Clock != 6727 || a.Firmware != 0x2019102300163636 {
		t.Errorf("%+v", a)
	}
	if want := (pcr.Selection{{Bank: pcr.SHA256, PCRs: 0xffffff}}); !bytes.Equal(a.Selection.AppendTPM(nil), want.AppendTPM(nil)) {
		t.Errorf("selection %+v", a.Selection)
	}
}

func TestI07_EveryOtherByteOfASignedStructureFails(t *testing.T) {
	key := public(t, "ak_ehecc")
	attest, signature := capture(t, "quote_ehecc_sha256.tpms_attest.bin"), capture(t, "quote_ehecc_sha256.tpmt_signature.bin")
	for i := range attest {
		b := bytes.Clone(attest)
		b[i] ^= 1
		if err := key.VerifySignature(b, signature); !errors.Is(err, tpm.ErrSignature) {
			t.Errorf("attestation, byte %d: %v", i, err)
		}
	}
	for i := range signature {
		b := bytes.Clone(signature)
		b[i] ^= 1
		if err := key.VerifySignature(attest, b); err == nil {
			t.Errorf("signature, byte %d: accepted", i)
		}
	}
	rsaKey, rsaAttest, rsaSignature := public(t, "ak_rsa"), capture(t, "quote_rsa_sha256.tpms_attest.bin"), capture(t, "quote_rsa_sha256.tpmt_signature.bin")
	for i := range rsaSignature {
		b := bytes.Clone(rsaSignature)
		b[i] ^= 1
		if err := rsaKey.VerifySignature(rsaAttest, b); err == nil {
			t.Errorf("RSA signature, byte %d: accepted", i)
		}
	}
	if err := public(t, "ak_ecc").VerifySignature(attest, signature); !errors.Is(err, tpm.ErrSignature) {
		t.Errorf("by another key: %v", err)
	}
	if err := public(t, "ak_rsa").VerifySignature(attest, signature); !errors.Is(err, tpm.ErrSignature) {
		t.Errorf("by a key of another kind: %v", err)
	}
}

func TestI01_I04_I07_EveryCutAndEveryTrailingByteFails(t *testing.T) {
	attest, signature := capture(t, "quote_ehecc_sha256.tpms_attest.bin"), capture(t, "quote_ehecc_sha256.tpmt_signature.bin")
	key := public(t, "ak_ehecc")
	rsaKey, rsaAttest, rsaSignature := public(t, "ak_rsa"), capture(t, "quote_rsa_sha256.tpms_attest.bin"), capture(t, "quote_rsa_sha256.tpmt_signature.bin")
	for name, c := range map[string]struct {
		whole []byte
		parse func([]byte) error
	}{
		"attestation":     {attest, func(b []byte) error { _, err := tpm.ParseAttest(b); return err }},
		"ECC public area": {key.Bytes(), func(b []byte) error { _, err := tpm.ParsePublic(b); return err }},
		"RSA public area": {rsaKey.Bytes(), func(b []byte) error { _, err := tpm.ParsePublic(b); return err }},
		"ECC signature":   {signature, func(b []byte) error { return key.VerifySignature(attest, b) }},
		"RSA signature":   {rsaSignature, func(b []byte) error { return rsaKey.VerifySignature(rsaAttest, b) }},
	} {
		if err := c.parse(c.whole); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for cut := range c.whole {
			if c.parse(c.whole[:cut]) == nil {
				t.Errorf("%s cut at %d: accepted", name, cut)
			}
		}
		if c.parse(append(bytes.Clone(c.whole), 0)) == nil {
			t.Errorf("%s with a trailing byte: accepted", name)
		}
	}
}

func TestI04_I07_ParseAttestRefuses(t *testing.T) {
	quote := capture(t, "quote_ehecc_sha256.tpms_attest.bin")
	change := func(at int, b ...byte) []byte {
		c := bytes.Clone(quote)
		copy(c[at:], b)
		return c
	}
	selection := bytes.Index(quote, []byte{0, 0, 0, 1, 0, 0x0b, 3})
	for name, b := range map[string][]byte{
		"another magic":     change(0, 0),
		"type TIME":         change(4, 0x80, 0x19),
		"safe of 2":         change(selection-9, 2),
		"a selection of 2":  change(selection+6, 2),
		"seventeen banks":   change(selection, 0, 0, 0, 17),
		"two to the 32 − 1": change(selection, 0xff, 0xff, 0xff, 0xff),
		"all seventeen": slices.Concat(quote[:selection], []byte{0, 0, 0, 17},
			bytes.Repeat(quote[selection+4:selection+10], 17), quote[selection+10:]),
	} {
		if a, err := tpm.ParseAttest(b); !errors.Is(err, tpm.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestI07_I11_Templates(t *testing.T) {
	ak, transport := tpm.AKTemplate(), tpm.TransportTemplate()
	if bytes.Equal(tpm2.Marshal(ak), tpm2.Marshal(transport)) {
		t.Error("AK and transport key have one template")
	}
	// A captured AK differs from ours in unique alone: the same attributes.
	captured := public(t, "ak_ehecc")
	if !captured.Matches(ak) {
		t.Errorf("captured AK does not match: %+v", captured.Area())
	}
	if public(t, "ak_rsa").Matches(ak) || public(t, "ak_rsa").IsAK() {
		t.Error("an RSA key matches the template of the AK")
	}
	if captured.Matches(transport) {
		t.Error("a restricted key matches the template of the transport key")
	}
	for name, change := range map[string]func(*tpm2.TPMTPublic){
		"unrestricted":   func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false },
		"imported":       func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SensitiveDataOrigin = false },
		"movable":        func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false },
		"with a policy":  func(p *tpm2.TPMTPublic) { p.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 32)} },
		"also decrypts":  func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Decrypt = true },
		"name by SHA384": func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA384 },
	} {
		area := captured.Area()
		change(&area)
		p, err := tpm.ParsePublic(tpm2.Marshal(area))
		if err == nil && p.Matches(ak) {
			t.Errorf("a key that is %s matches", name)
		}
	}
}

func TestI01_NameAndIDAreDerived(t *testing.T) {
	ek := public(t, "ek_rsa2048")
	if name := ek.Name(); len(name) != 34 || name[1] != 0x0b || ek.AgentID() != hex.EncodeToString(name[2:]) {
		t.Errorf("Name %x, id %s", name, ek.AgentID())
	}
}

// I01: one key has one public area. Zeros in front of a modulus, or its exponent
// spelt out, would be the same key under another Name and another agent id.
func TestI01_OneKeyHasOnePublicArea(t *testing.T) {
	area := public(t, "ek_rsa2048").Area()
	modulus, err := area.Unique.RSA()
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string][]byte{
		"a zero in front":     append([]byte{0}, modulus.Buffer...),
		"many":                append(make([]byte, 100), modulus.Buffer...),
		"a first bit of zero": append([]byte{modulus.Buffer[0] & 0x7f}, modulus.Buffer[1:]...),
		"the first byte gone": modulus.Buffer[1:],
		"even":                append(bytes.Clone(modulus.Buffer[:255]), modulus.Buffer[255]&^1),
	} {
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: n})
		if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	area = public(t, "ek_rsa2048").Area()
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		t.Fatal(err)
	}
	parms.Exponent = 65537
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms)
	if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
		t.Errorf("the exponent spelt out: %v", err)
	}
	area = public(t, "ak_ecc").Area()
	area.NameAlg = tpm2.TPMAlgSHA1
	if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
		t.Errorf("a Name by SHA-1: %v", err)
	}
}

// I01: where one coordinate ends and the other begins is part of the encoding.
func TestI01_OnePointHasOneEncoding(t *testing.T) {
	area := public(t, "ak_ecc").Area()
	p, err := area.Unique.ECC()
	if err != nil {
		t.Fatal(err)
	}
	x, y := p.X.Buffer, p.Y.Buffer
	for name, c := range map[string][2][]byte{
		"a boundary moved":  {append(bytes.Clone(x), y[0]), y[1:]},
		"a zero in front":   {append([]byte{0}, x...), y},
		"all in one":        {append(bytes.Clone(x), y...), nil},
		"not on the curve":  {x, x},
		"a coordinate less": {x, nil},
	} {
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: c[0]}, Y: tpm2.TPM2BECCParameter{Buffer: c[1]}})
		if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// I01: a curve that nobody knows has no points to check.
func TestI01_OnlyKnownCurves(t *testing.T) {
	area := public(t, "ak_ecc").Area()
	parms, err := area.Parameters.ECCDetail()
	if err != nil {
		t.Fatal(err)
	}
	parms.CurveID = tpm2.TPMECCBNP256
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, parms)
	if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
		t.Error(err)
	}
}

// I01: an RSA key is as long as TPMs make them.
func TestI01_RSAKeyHasAKnownLength(t *testing.T) {
	area := public(t, "ek_rsa2048").Area()
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		t.Fatal(err)
	}
	modulus, err := area.Unique.RSA()
	if err != nil {
		t.Fatal(err)
	}
	parms.KeyBits = 1024
	short := append(bytes.Clone(modulus.Buffer[:127]), 1)
	short[0] |= 0x80
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms)
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: short})
	if _, err := tpm.ParsePublic(tpm2.Marshal(area)); !errors.Is(err, tpm.ErrMalformed) {
		t.Error(err)
	}
}

func TestI04_PublicAreaIsBounded(t *testing.T) {
	area := public(t, "ak_ecc").Area()
	area.AuthPolicy.Buffer = make([]byte, wire.MaxPublic)
	if _, err := tpm.ParsePublic(tpm2.Marshal(area)); err == nil || !strings.Contains(err.Error(), "limit is") {
		t.Error(err)
	}
}

// I07: a key whose scheme is with SHA-1 signs nothing that counts.
func TestI07_SchemesOfKeys(t *testing.T) {
	area := public(t, "ak_ecc").Area()
	parms, err := area.Parameters.ECCDetail()
	if err != nil {
		t.Fatal(err)
	}
	parms.Scheme.Details = tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA1})
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, parms)
	key, err := tpm.ParsePublic(tpm2.Marshal(area))
	if err != nil {
		t.Fatal(err)
	}
	if h := key.SigningHash(); h != 0 {
		t.Errorf("signs with %v", h)
	}
}

func FuzzParsePublic(f *testing.F) {
	for _, name := range []string{"ak_ecc", "ak_rsa", "ek_rsa2048"} {
		f.Add(capture(f, name+".pub.tpm2b_public.bin")[2:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tpm.ParsePublic(b)
		if err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Error("another encoding was accepted")
		}
	})
}

func FuzzParseAttest(f *testing.F) {
	f.Add(capture(f, "quote_ehecc_sha256.tpms_attest.bin"))
	f.Fuzz(func(t *testing.T, b []byte) { tpm.ParseAttest(b) })
}

func FuzzVerifySignature(f *testing.F) {
	key := public(f, "ak_ehecc")
	f.Add(capture(f, "quote_ehecc_sha256.tpmt_signature.bin"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if key.VerifySignature([]byte("what the TPM never signed"), b) == nil {
			t.Error("accepted")
		}
	})
}
