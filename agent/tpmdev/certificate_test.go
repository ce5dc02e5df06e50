package tpmdev

import (
	"bytes"
	"encoding/asn1"
	"os"
	"testing"
)

// capturedNV is what a TPM had at an index for EK certificates.
func capturedNV(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/captures/direct-6.1-ima-ng/ek_rsa2048_cert_from_nv.der")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCertificateInNV(t *testing.T) {
	der := capturedNV(t)
	for n := range der {
		if got := derOf(der[:n]); got != nil {
			t.Errorf("the first %d of %d bytes hold %x", n, len(der), got)
		}
	}
	for _, padding := range [][]byte{nil, make([]byte, 100), bytes.Repeat([]byte{0xff}, 7)} {
		if got := derOf(append(bytes.Clone(der), padding...)); !bytes.Equal(got, der) {
			t.Errorf("before %d bytes of padding: %x", len(padding), got)
		}
	}
}

func FuzzCertificateInNV(f *testing.F) {
	f.Add(capturedNV(f))
	f.Add(append(capturedNV(f), 0xff, 0xff))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, nv []byte) {
		der := derOf(nv)
		if der == nil {
			return
		}
		if !bytes.HasPrefix(nv, der) {
			t.Fatalf("%x is not the beginning of %x", der, nv)
		}
		var item asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &item); err != nil || len(rest) > 0 {
			t.Errorf("%x is not one item: %d bytes are left, %v", der, len(rest), err)
		}
	})
}
