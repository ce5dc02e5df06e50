package dsse

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/verifier/policy"
)

// now is when the captured certificate is valid.
var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

const text = `{"meta": {"version": 1}, "digests": {}}`

// read reads a file of testdata.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trusting returns keys that trust what the files hold.
func trusting(t testing.TB, files ...[]byte) *Keys {
	t.Helper()
	k := new(Keys)
	for _, f := range files {
		if err := k.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// verify parses and verifies.
func verify(k *Keys, envelope []byte, at time.Time) (Verified, error) {
	e, err := Parse(RuntimePolicy, envelope)
	if err != nil {
		return Verified{}, err
	}
	return k.Verify(e, at)
}

// refused fails the test unless the envelope is refused with all of want.
func refused(t *testing.T, k *Keys, envelope []byte, want ...string) {
	t.Helper()
	v, err := verify(k, envelope, now)
	if err == nil || v.Payload() != nil || v.Signers() != nil {
		t.Fatalf("signed by %v, error %v", v.Signers(), err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
}

func newECDSA(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// publicPEM is the public half of a key in PEM.
func publicPEM(t testing.TB, k crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: der})
}

func sign(t testing.TB, k crypto.Signer, c *x509.Certificate) []byte {
	t.Helper()
	e, _, err := Sign(rand.Reader, RuntimePolicy, []byte(text), k, c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// protocol.md, "Test Vectors".
func TestPAE(t *testing.T) {
	var b bytes.Buffer
	writePAE(&b, "http://example.com/HelloWorld", []byte("hello world"))
	if b.String() != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Errorf("%q", &b)
	}
}

func TestKeylimesPoliciesVerify(t *testing.T) {
	for name, trusted := range map[string]string{
		"keylime-ecdsa-p256.json": "keylime-ecdsa-p256.pub.pem",
		"keylime-ecdsa-p384.json": "keylime-ecdsa-p384.pub.pem",
		"keylime-ecdsa-p521.json": "keylime-ecdsa-p521.pub.pem",
		"keylime-x509.json":       "keylime-x509.crt",
	} {
		envelope := read(t, name)
		v, err := verify(trusting(t, read(t, trusted)), envelope, now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p, err := policy.Parse(v.Payload()); err != nil || p.Paths() != 1 {
			t.Errorf("%s: the payload is no policy: %v", name, err)
		}
		by := v.Signers()[0]
		if strings.HasSuffix(trusted, ".crt") != (by.Subject == "CN=dsse_lib") {
			t.Errorf("%s: signed by %v", name, by)
		}
		if by.Subject == "" && !strings.Contains(string(envelope), by.KeyID) {
			t.Errorf("%s: %s is not the key id that Keylime gives the key", name, by.KeyID)
		}
		refused(t, trusting(t, publicPEM(t, newECDSA(t, elliptic.P256()))), envelope, "trusted are: key ")
		refused(t, new(Keys), envelope, "trusted are: nobody")
	}
}

func TestEveryKindOfKeySigns(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]crypto.Signer{
		"P-256": newECDSA(t, elliptic.P256()), "P-384": newECDSA(t, elliptic.P384()), "P-521": newECDSA(t, elliptic.P521()),
		"RSA": weak, "Ed25519": edwards,
	} {
		envelope := sign(t, k, nil)
		v, err := verify(trusting(t, publicPEM(t, k)), envelope, now)
		if err != nil || string(v.Payload()) != text {
			t.Errorf("%s: %q, %v", name, v.Payload(), err)
		}
		refused(t, trusting(t, publicPEM(t, k)), change(t, envelope, func(d *doc) { d.Payload[5] ^= 1 }), "one of them was changed")
		refused(t, trusting(t, publicPEM(t, newECDSA(t, elliptic.P256()))), envelope, "none of a key that is trusted")
	}
}

// doc is an envelope to change.
type doc struct {
	Payload     []byte             `json:"payload"`
	PayloadType string             `json:"payloadType"`
	Signatures  []writtenSignature `json:"signatures"`
}

func change(t testing.TB, envelope []byte, f func(*doc)) []byte {
	t.Helper()
	var d doc
	if err := json.Unmarshal(envelope, &d); err != nil {
		t.Fatal(err)
	}
	f(&d)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// No byte of the policy or of its signature can be changed.
func TestI12_EveryByteIsSigned(t *testing.T) {
	envelope, k := read(t, "keylime-ecdsa-p256.json"), trusting(t, read(t, "keylime-ecdsa-p256.pub.pem"))
	var whole doc
	if err := json.Unmarshal(envelope, &whole); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(k, envelope, now); err != nil {
		t.Fatal(err)
	}
	for i := range whole.Payload {
		refused(t, k, change(t, envelope, func(d *doc) { d.Payload[i] ^= 0x20 }), "was changed")
	}
	for i := range whole.Signatures[0].Sig {
		refused(t, k, change(t, envelope, func(d *doc) { d.Signatures[0].Sig[i] ^= 1 }), "was changed")
	}
}

// The type and the lengths are signed too: what was signed as another type is no
// policy, whatever the envelope says.
func TestI12_TheTypeIsSigned(t *testing.T) {
	k := newECDSA(t, elliptic.P256())
	var pae bytes.Buffer
	writePAE(&pae, "application/vnd.other+json", []byte(text))
	sum := crypto.SHA256.New()
	sum.Write(pae.Bytes())
	sig, err := k.Sign(rand.Reader, sum.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	envelope := change(t, sign(t, k, nil), func(d *doc) { d.Signatures[0].Sig = sig })
	refused(t, trusting(t, publicPEM(t, k)), envelope, "was changed")
	refused(t, trusting(t, publicPEM(t, k)), change(t, envelope, func(d *doc) { d.PayloadType = "application/vnd.other+json" }), `want "application/vnd.keylime+json"`)
}

// A key that signs both kinds of policies signs each as what it is: one is not the other.
func TestI12_AKindOfPolicyIsNotTheOther(t *testing.T) {
	k := newECDSA(t, elliptic.P256())
	trusted := trusting(t, publicPEM(t, k))
	for of, other := range map[Type]Type{RuntimePolicy: BootPolicy, BootPolicy: RuntimePolicy} {
		envelope, _, err := Sign(rand.Reader, of, []byte(text), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Parse(of, envelope)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trusted.Verify(e, now); err != nil {
			t.Errorf("%s: %v", of, err)
		}
		if _, err := Parse(other, envelope); err == nil || !strings.Contains(err.Error(), "which is "+kinds[of]) {
			t.Errorf("%s as %s: %v", of, other, err)
		}
		if e, err = Parse(other, change(t, envelope, func(d *doc) { d.PayloadType = string(other) })); err != nil {
			t.Fatal(err)
		}
		if _, err := trusted.Verify(e, now); err == nil || !strings.Contains(err.Error(), "was changed") {
			t.Errorf("%s that claims to be %s: %v", of, other, err)
		}
	}
}

// The key id only helps to find the key: neither another nor none keeps a good
// signature from being found, and that of a trusted key lends no trust.
func TestI12_TheKeyIDGrantsNothing(t *testing.T) {
	good, bad := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P384())
	k := trusting(t, publicPEM(t, newECDSA(t, elliptic.P521())), publicPEM(t, good))
	for _, id := range []string{"", "ci-key", strings.Repeat("0", 64), base64.StdEncoding.EncodeToString(publicPEM(t, bad))} {
		v, err := verify(k, change(t, sign(t, good, nil), func(d *doc) { d.Signatures[0].KeyID = id }), now)
		if err != nil || len(v.Signers()) != 1 {
			t.Errorf("key id %q: %v, %v", id, v.Signers(), err)
		}
	}
	id, err := keyID(good.Public())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, k, change(t, sign(t, bad, nil), func(d *doc) { d.Signatures[0].KeyID = id }), "was changed")
}

func TestOneGoodSignatureIsEnough(t *testing.T) {
	a, b, stranger := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	k := trusting(t, append(publicPEM(t, a), publicPEM(t, b)...))
	var all doc
	for _, s := range []crypto.Signer{stranger, b, a, b} {
		change(t, sign(t, s, nil), func(d *doc) {
			all.Payload, all.PayloadType, all.Signatures = d.Payload, d.PayloadType, append(all.Signatures, d.Signatures...)
		})
	}
	envelope, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify(k, envelope, now)
	if err != nil || len(v.Signers()) != 2 || v.Signers()[0].KeyID != all.Signatures[1].KeyID {
		t.Errorf("signed by %v, %v", v.Signers(), err)
	}
	refused(t, trusting(t, publicPEM(t, newECDSA(t, elliptic.P256()))), envelope, "signature 1: ", "signature 4: ")
}
