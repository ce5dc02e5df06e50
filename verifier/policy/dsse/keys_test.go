package dsse

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

func TestAddRefuses(t *testing.T) {
	good := publicPEM(t, newECDSA(t, elliptic.P256()))
	der, err := x509.MarshalPKCS8PrivateKey(newECDSA(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "no PEM block"},
		{"DER", der, "no PEM block"},
		{"a private key", block("PRIVATE KEY", der), "only the public half belongs here"},
		{"a private key of Keylime's", block("EC PRIVATE KEY", der), "only the public half belongs here"},
		{"another block", block("CERTIFICATE REQUEST", der), `a PEM block "CERTIFICATE REQUEST"`},
		{"a broken block", append(append([]byte{}, good...), good[:60]...), "is broken"},
		{"a key that is none", block(pemPublicKey, []byte{0x30, 0}), "asn1"},
		{"a certificate that is none", block(pemCertificate, []byte{0x30, 0}), "x509"},
		{"a good and a bad one", append(append([]byte{}, good...), block(pemPublicKey, nil)...), "asn1"},
		{"too many", []byte(strings.Repeat(string(good), MaxKeys+1)), "more than 100 keys"},
		{"a large file", make([]byte, MaxKeyFile+1), "the limit is"},
	} {
		k := trusting(t, good)
		if err := k.Add(test.file); err == nil || !strings.Contains(err.Error(), test.want) || k.Len() != 1 {
			t.Errorf("%s: %v, %d keys", test.name, err, k.Len())
		}
	}
	if k := trusting(t, []byte(strings.Repeat(string(good), MaxKeys))); k.Len() != MaxKeys {
		t.Errorf("%d keys", k.Len())
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	modulus := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, public := range map[string]any{
		"curve P-224": &small.PublicKey, "RSA key of 2047 bits": modulus(2047), "RSA key of 8193 bits": modulus(8193), "type *ecdh.PublicKey": new(ecdh.PublicKey),
	} {
		if _, err := newKey(public, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	for _, bits := range []uint{2048, 8192} {
		if _, err := newKey(modulus(bits), nil); err != nil {
			t.Error(err)
		}
	}
}

// The private keys that openssl and Keylime's tools write.
func TestParsePrivateKey(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	old, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ec := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: old})
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}})
	for name, file := range map[string][]byte{
		"Keylime": ec, "openssl ecparam": append(parameters, ec...), "openssl genpkey": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	} {
		if k, err := ParsePrivateKey(file); err != nil || !key.Equal(k) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, file := range map[string][]byte{
		"is encrypted, which":     pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: pkcs8}),
		"is encrypted":            pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: old, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}}),
		"want a private key":      publicPEM(t, key),
		"more than one PEM block": append(append([]byte{}, ec...), ec...),
		"no PEM block":            pkcs8,
	} {
		if _, err := ParsePrivateKey(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
