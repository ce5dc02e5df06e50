package digsig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"quicklime/ima/digsig"
)

// certify returns a DER certificate of s, self-signed, with that subject key
// identifier.
func certify(t testing.TB, s crypto.Signer, skid []byte) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "IMA"},
		NotAfter:     time.Unix(1, 0),
		SubjectKeyId: skid,
	}
	return must(x509.CreateCertificate(rand.Reader, c, c, s.Public(), s))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pointID is the id of a P-256 key without certificate, by the rule.
func pointID(t testing.TB, s crypto.Signer) uint32 {
	t.Helper()
	point := must(s.Public().(*ecdsa.PublicKey).Bytes())
	id := sha1.Sum(point)
	return binary.BigEndian.Uint32(id[16:])
}

func TestParseKeyForms(t *testing.T) {
	ec, rsaKey := signers["p256"](), signers["rsa2048"]()
	pkcs1 := x509.MarshalPKCS1PublicKey(rsaKey.Public().(*rsa.PublicKey))
	pkcs1ID := sha1.Sum(pkcs1)
	rsaID := binary.BigEndian.Uint32(pkcs1ID[16:])
	ecID := pointID(t, ec)
	withID := certify(t, ec, []byte("\x01\x02\x03\x04\xaa\xbb\xcc\xdd"))
	for name, c := range map[string]struct {
		key []byte
		of  crypto.Signer
		id  uint32
	}{
		"certificate":                       {withID, ec, 0xaabbccdd},
		"certificate without identifier":    {certify(t, ec, nil), ec, ecID},
		"certificate of a short identifier": {certify(t, ec, []byte{1, 2, 3}), ec, ecID},
		"certificate of RSA":                {certify(t, rsaKey, nil), rsaKey, rsaID},
		"SubjectPublicKeyInfo":              {spki(t, ec), ec, ecID},
		"SubjectPublicKeyInfo of RSA":       {spki(t, rsaKey), rsaKey, rsaID},
		"RSAPublicKey":                      {pkcs1, rsaKey, rsaID},
		"PEM certificate":                   {block("CERTIFICATE", withID), ec, 0xaabbccdd},
		"PEM SubjectPublicKeyInfo":          {block("PUBLIC KEY", spki(t, ec)), ec, ecID},
		"PEM RSAPublicKey":                  {block("RSA PUBLIC KEY", pkcs1), rsaKey, rsaID},
		"PEM between spaces":                {slices.Concat([]byte("\n "), block("PUBLIC KEY", spki(t, ec)), []byte("\n\n")), ec, ecID},
	} {
		t.Run(name, func(t *testing.T) {
			k := parseKey(t, c.key)
			if k.ID != c.id {
				t.Errorf("id %08x, want %08x", k.ID, c.id)
			}
			if want := spki(t, c.of); k.Fingerprint != sha256.Sum256(want) || !bytes.Equal(k.SPKI(), want) {
				t.Errorf("another key: %x", k.SPKI())
			}
		})
	}
}

func TestI04_I17_ParseKeyRefuses(t *testing.T) {
	ec := signers["p256"]()
	good := spki(t, ec)
	cert := certify(t, ec, nil)
	rsaOf := func(n *big.Int, e int) []byte {
		return must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: e}))
	}
	odd := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.SetBit(n, 0, 1)
	}
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := must(x509.MarshalPKCS8PrivateKey(ec))
	offCurve := flipped(good, len(good)-1)
	for name, c := range map[string]struct {
		key  []byte
		want error
	}{
		"nothing":                       {nil, digsig.ErrNotKey},
		"text":                          {[]byte("BOOT_IMAGE=/vmlinuz ro quiet"), digsig.ErrNotKey},
		"a key and a byte":              {append(slices.Clone(good), 0), digsig.ErrNotKey},
		"a certificate and a byte":      {append(slices.Clone(cert), 0), digsig.ErrNotKey},
		"two certificates":              {slices.Concat(cert, cert), digsig.ErrNotKey},
		"a private key":                 {private, digsig.ErrNotKey},
		"a PEM private key":             {block("PRIVATE KEY", private), digsig.ErrNotKey},
		"two PEM blocks":                {slices.Concat(block("PUBLIC KEY", good), block("PUBLIC KEY", good)), digsig.ErrNotKey},
		"text and PEM":                  {slices.Concat([]byte("IMA\n"), block("PUBLIC KEY", good)), digsig.ErrNotKey},
		"PEM without an end":            {block("PUBLIC KEY", good)[:60], digsig.ErrNotKey},
		"too many bytes":                {slices.Concat(block("PUBLIC KEY", good), bytes.Repeat([]byte("\n"), digsig.MaxKey)), digsig.ErrNotKey},
		"a point that is not on it":     {offCurve, digsig.ErrUnsupported},
		"P-224":                         {must(x509.MarshalPKIXPublicKey(p224.Public())), digsig.ErrUnsupported},
		"a certificate of P-224":        {certify(t, p224, nil), digsig.ErrUnsupported},
		"Ed25519":                       {must(x509.MarshalPKIXPublicKey(ed)), digsig.ErrUnsupported},
		"RSA of a bit too few":          {rsaOf(odd(digsig.MinRSABits-1), 65537), digsig.ErrUnsupported},
		"RSA of a bit too many":         {rsaOf(odd(digsig.MaxRSABits+1), 65537), digsig.ErrUnsupported},
		"RSA of an even modulus":        {rsaOf(new(big.Int).Lsh(big.NewInt(1), 2047), 65537), digsig.ErrUnsupported},
		"RSA of exponent 1":             {rsaOf(odd(2048), 1), digsig.ErrUnsupported},
		"RSA of an even exponent":       {rsaOf(odd(2048), 65536), digsig.ErrUnsupported},
		"RSA of an exponent of 33 bits": {rsaOf(odd(2048), 1<<32+1), digsig.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			if k, err := digsig.ParseKey(c.key); !errors.Is(err, c.want) || k != nil {
				t.Errorf("ParseKey() = %+v, %v; want %v", k, err, c.want)
			}
		})
	}
	if _, err := digsig.ParseKey(rsaOf(odd(digsig.MinRSABits), 3)); err != nil {
		t.Errorf("the least RSA key: %v", err)
	}
}

// What a keyring holds is a certificate: another form of key is none there.
func TestI04_I17_ParseCertificateTakesNothingElse(t *testing.T) {
	der := readFile(t, anchors+"x509_ima.der")
	k, err := digsig.ParseCertificate(der)
	if err != nil || k.ID != 0xd7f5b5b3 {
		t.Fatalf("ParseCertificate() = %+v, %v", k, err)
	}
	for name, b := range map[string][]byte{
		"PEM":      block("CERTIFICATE", der),
		"SPKI":     k.SPKI(),
		"a byte":   append(slices.Clone(der), 0),
		"too many": slices.Concat(der, make([]byte, digsig.MaxKey)),
	} {
		if _, err := digsig.ParseCertificate(b); !errors.Is(err, digsig.ErrNotKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestI04_EveryCutOfAKeyIsRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"certificate of RSA": readFile(t, anchors+"x509_ima.der"),
		"certificate":        readFile(t, anchors+"x509_ima_ec.der"),
		"key":                spki(t, signers["p256"]()),
	} {
		for cut := range b {
			if _, err := digsig.ParseKey(b[:cut]); !errors.Is(err, digsig.ErrNotKey) {
				t.Errorf("%s: the first %d of %d bytes: %v", name, cut, len(b), err)
			}
		}
	}
}

func TestI17_NewKeyHasTheIDItIsGiven(t *testing.T) {
	good := spki(t, signers["p256"]())
	k, err := digsig.NewKey(0, good)
	if err != nil || k.ID != 0 || k.Fingerprint != sha256.Sum256(good) {
		t.Errorf("NewKey() = %+v, %v", k, err)
	}
	for name, b := range map[string][]byte{
		"certificate": readFile(t, anchors+"x509_ima.der"),
		"PEM":         block("PUBLIC KEY", good),
		"a byte":      append(slices.Clone(good), 0),
	} {
		if k, err := digsig.NewKey(1, b); !errors.Is(err, digsig.ErrNotKey) || k != nil {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}
