package bootpolicy_test

import (
	"fmt"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/verifiertest"
)

// big is a reference state of a fleet: the captured boot in a hundred kernels and a
// revocation list of 400 digests.
func big(b *testing.B) []byte {
	l := bootpolicy.RevocationList{Name: "list", AtLeast: 1}
	for i := range 400 {
		l.SHA256 = append(l.SHA256, fmt.Sprintf("%064x", i))
	}
	l.SHA256[0] = "80b4d96931bf0d02fd91a61e19d14f1da452e66db2408ca8604d411f92659f0a"
	logs := []bootpolicy.Log{captured(b, secureBoot)}
	for i := range 99 {
		boot := events(b, verifiertest.BootLog(b, secureBoot))
		at := index(b, boot, 8, "kernel_cmdline")
		boot[at] = line("kernel_cmdline", fmt.Sprintf("/vmlinuz-%d root=/dev/sda", i))
		logs = append(logs, booted(b, boot, nil))
	}
	text, err := bootpolicy.Create([]bootpolicy.RevocationList{l}, logs...)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func BenchmarkCompile(b *testing.B) {
	text := big(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bootpolicy.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJudge judges a boot by a compiled reference state.
func BenchmarkJudge(b *testing.B) {
	p, err := bootpolicy.Parse(big(b))
	if err != nil {
		b.Fatal(err)
	}
	r := captured(b, secureBoot)
	b.ReportAllocs()
	for b.Loop() {
		if fails := p.Judge(r); len(fails) > 1 { // dbx of the capture has none of the list
			b.Fatal(fails)
		}
	}
}
