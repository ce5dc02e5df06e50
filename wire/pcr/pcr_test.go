package pcr_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"slices"
	"testing"

	"quicklime/wire/pcr"
)

func TestSelectionInTPMForm(t *testing.T) {
	s := pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}, {Bank: pcr.SHA1, PCRs: pcr.Of(23, 0)}}
	if got := hex.EncodeToString(s.AppendTPM(nil)); got != "00000002"+"000b03ff0700"+"000403010080" {
		t.Error(got)
	}
	if s.Len() != 13 || !slices.Equal(slices.Collect(s[1].PCRs.All()), []int{0, 23}) {
		t.Errorf("%d PCRs", s.Len())
	}
}

func TestI15_SelectionCheck(t *testing.T) {
	for name, s := range map[string]pcr.Selection{
		"an unknown bank":  {{Bank: 0x12, PCRs: 1}},
		"an empty bank":    {{Bank: pcr.SHA256}},
		"PCR 24":           {{Bank: pcr.SHA256, PCRs: 1 << 24}},
		"a bank two times": {{Bank: pcr.SHA256, PCRs: 1}, {Bank: pcr.SHA256, PCRs: 2}},
	} {
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestI15_Values(t *testing.T) {
	a, b, c := bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	s := pcr.Selection{{Bank: pcr.SHA1, PCRs: pcr.Of(7)}, {Bank: pcr.SHA256, PCRs: pcr.Of(0, 1)}}
	v, err := pcr.NewValues(s, [][]byte{a, b, c})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := v.Get(pcr.SHA256, 1); !ok || !bytes.Equal(got, c) {
		t.Errorf("sha256 PCR 1: %x", got)
	}
	if _, ok := v.Get(pcr.SHA1, 1); ok {
		t.Error("sha1 PCR 1 is there")
	}
	if got, ok := v.Aggregate(pcr.SHA256, 0, 1); !ok || !bytes.Equal(got, slices.Concat(b, c)) {
		t.Errorf("aggregate %x", got)
	}
	if _, ok := v.Aggregate(pcr.SHA256, 0, 2); ok {
		t.Error("an aggregate of PCRs that are not there")
	}
	h := crypto.SHA256.New()
	h.Write(slices.Concat(a, b, c))
	if !bytes.Equal(v.Digest(crypto.SHA256), h.Sum(nil)) {
		t.Error("pcrDigest")
	}
	for name, digests := range map[string][][]byte{
		"one less": {a, b}, "one more": {a, b, c, c}, "of another length": {b, b, c}, "in another order": {b, c, a},
	} {
		if _, err := pcr.NewValues(s, digests); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBanks(t *testing.T) {
	for _, b := range pcr.Banks {
		got, err := pcr.ParseBank(b.String())
		if err != nil || got != b {
			t.Errorf("%v: %v, %v", b, got, err)
		}
		if n := len(b.Extend(make([]byte, b.Size()), make([]byte, b.Size()))); n != b.Size() {
			t.Errorf("%v extends to %d bytes", b, n)
		}
	}
	for _, b := range []pcr.Bank{0, pcr.SHA256, 0x12} {
		text, _ := b.MarshalText()
		var got pcr.Bank
		if err := got.UnmarshalText(text); err != nil || got != b {
			t.Errorf("%s reads as %v, %v", text, got, err)
		}
	}
	if _, err := pcr.ParseBank("md5"); err == nil || pcr.Bank(0).Known() || pcr.Bank(0).Size() != 0 {
		t.Error("a bank that is none is known")
	}
}
