package tpmdev_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

func TestQuote(t *testing.T) {
	d, _ := newDevice(t)
	sel := pcr.Selection{{Bank: pcr.SHA1, PCRs: pcr.Range(0, 23)}, {Bank: pcr.SHA256, PCRs: pcr.Of(10, 17)}}
	nonce := sha256.Sum256([]byte("a nonce"))
	attest, signature, err := d.Quote(sel, nonce[:])
	if err != nil {
		t.Fatal(err)
	}
	public, err := d.AK()
	ak := parsed(t, public, err)
	s, err := tpm2.Unmarshal[tpm2.TPMTSignature](signature)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := s.Signature.ECDSA()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(attest)
	if !ecdsa.Verify(ak.Key().(*ecdsa.PublicKey), digest[:], bigInt(rs.SignatureR.Buffer), bigInt(rs.SignatureS.Buffer)) {
		t.Error("the signature is not the AK's")
	}
	a, err := tpm.ParseAttest(attest)
	if err != nil {
		t.Fatal(err)
	}
	values, err := d.ReadPCRs(sel)
	if err != nil {
		t.Fatal(err)
	}
	counters, err := d.BootCounters()
	if err != nil {
		t.Fatal(err)
	}
	type covered struct {
		Extra, Digest, Signer []byte
		Selection             []pcr.BankSet
		Counters              any
	}
	want := covered{nonce[:], values.Digest(pcr.SHA256.Hash()), ak.QualifiedName(tpm.Endorsement), sel, counters}
	if diff := cmp.Diff(want, covered{a.ExtraData, a.PCRDigest, a.QualifiedSigner, a.Selection, a.Counters}, cmp.AllowUnexported()); diff != "" {
		t.Errorf("quote (-want +got):\n%s", diff)
	}
}

func TestCertifyTransport(t *testing.T) {
	d, _ := newDevice(t)
	attest, signature, err := d.CertifyTransport([]byte("qualifying"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := d.AK()
	ak := parsed(t, public, err)
	if err := ak.VerifySignature(attest, signature); err != nil {
		t.Error(err)
	}
	a, err := tpm.ParseAttest(attest)
	if err != nil {
		t.Fatal(err)
	}
	tk, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	transport := parsed(t, tk.PublicArea(), nil)
	want := [][]byte{transport.Name(), transport.QualifiedName(tpm.Owner), []byte("qualifying")}
	if diff := cmp.Diff(want, [][]byte{a.Name, a.QualifiedName, a.ExtraData}); diff != "" {
		t.Errorf("certification (-want +got):\n%s", diff)
	}
}

func TestPCRs(t *testing.T) {
	d, p := newDevice(t)
	sel := pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 23)}, {Bank: pcr.SHA1, PCRs: pcr.Of(10, 16)}}
	before, err := d.ReadPCRs(sel)
	if err != nil {
		t.Fatal(err)
	}
	digests := map[pcr.Bank][]byte{pcr.SHA1: bytes.Repeat([]byte{1}, 20), pcr.SHA256: bytes.Repeat([]byte{2}, 32)}
	if err := d.Extend(10, digests); err != nil {
		t.Fatal(err)
	}
	after, err := d.ReadPCRs(sel)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range sel {
		for i := range e.PCRs.All() {
			want, _ := before.Get(e.Bank, i)
			if i == 10 {
				want = e.Bank.Extend(want, digests[e.Bank])
			}
			if got, _ := after.Get(e.Bank, i); !bytes.Equal(got, want) {
				t.Errorf("%v PCR %d is %x, want %x", e.Bank, i, got, want)
			}
		}
	}
	if _, err := d.ReadPCRs(pcr.Selection{{Bank: pcr.SHA384, PCRs: pcr.Of(10)}}); err == nil || !strings.Contains(err.Error(), "bank sha384 is not allocated") {
		t.Errorf("a bank that is not allocated: %v", err)
	}
	for what, err := range map[string]error{
		"PCR 24":          d.Extend(24, digests),
		"PCR -1":          d.Extend(-1, digests),
		"a short digest":  d.Extend(10, map[pcr.Bank][]byte{pcr.SHA256: digests[pcr.SHA1]}),
		"an empty quote":  second(d.Quote(pcr.Selection{{Bank: pcr.SHA256}}, nil)),
		"an unknown bank": second(d.Quote(pcr.Selection{{Bank: 0x12, PCRs: pcr.Of(1)}}, nil)),
	} {
		if err == nil || strings.Contains(err.Error(), "TPM_RC") {
			t.Errorf("%s: the TPM was asked: %v", what, err)
		}
	}
	if got, err := opened(t, p).ReadPCRs(sel); err != nil || !bytes.Equal(got.Digest(pcr.SHA256.Hash()), after.Digest(pcr.SHA256.Hash())) {
		t.Errorf("a refused extend changed PCRs: %v", err)
	}
}

func second(_, _ []byte, err error) error { return err }
