package digsig_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"

	"quicklime/ima/digsig"
)

const anchors = "../../testdata/captures/ca/"

// signers return a private key of their kind, the same each time.
var signers = map[string]func() crypto.Signer{
	"rsa2048": sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	"p256":    sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"p384":    sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
	"p521":    sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func spki(t testing.TB, s crypto.Signer) []byte {
	t.Helper()
	return must(x509.MarshalPKIXPublicKey(s.Public()))
}

func parseKey(t testing.TB, b []byte) *digsig.Key {
	t.Helper()
	k, err := digsig.ParseKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ring returns a ring of these keys.
func ring(t testing.TB, keys ...*digsig.Key) (r digsig.Ring) {
	t.Helper()
	for _, k := range keys {
		var err error
		if r, err = r.With(k); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var functions = map[digsig.Hash]crypto.Hash{
	digsig.SHA1: crypto.SHA1, digsig.SHA224: crypto.SHA224, digsig.SHA256: crypto.SHA256,
	digsig.SHA384: crypto.SHA384, digsig.SHA512: crypto.SHA512,
}

func sum(h digsig.Hash, b []byte) []byte {
	f := functions[h].New()
	f.Write(b)
	return f.Sum(nil)
}

// field returns a field of template data that holds a signature of a digest.
func field(t testing.TB, s crypto.Signer, typ digsig.Type, version byte, h digsig.Hash, digest []byte) []byte {
	t.Helper()
	if version == 3 {
		digest = sum(h, slices.Concat([]byte{byte(typ), byte(h)}, digest))
	}
	sig, err := s.Sign(rand.Reader, digest, functions[h])
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{byte(typ), version, byte(h)}
	b = binary.BigEndian.AppendUint32(b, parseKey(t, spki(t, s)).ID)
	b = binary.BigEndian.AppendUint16(b, uint16(len(sig)))
	return append(b, sig...)
}

func parse(t testing.TB, field []byte) digsig.Signature {
	t.Helper()
	s, err := digsig.Parse(field)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// flipped returns b with one bit of its i-th byte changed.
func flipped(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}
