package digsig_test

import (
	"testing"

	"quicklime/ima/digsig"
)

// BenchmarkVerify verifies one signature, on one core.
func BenchmarkVerify(b *testing.B) {
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	for _, name := range []string{"rsa2048", "p256", "p384"} {
		b.Run(name, func(b *testing.B) {
			r := ring(b, parseKey(b, spki(b, signers[name]())))
			field := field(b, signers[name](), digsig.File, 2, d.Hash, d.Sum)
			b.ReportAllocs()
			for b.Loop() {
				s, err := digsig.Parse(field)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Verify(d, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
