package tpmdev_test

import (
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/agent/swtpm"
)

func bigInt(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

type certificates []*x509.Certificate

func (c certificates) pool() *x509.CertPool {
	p := x509.NewCertPool()
	for _, x := range c {
		p.AddCert(x)
	}
	return p
}

// anchors reads the CA of a TPM: its root, then the issuer.
func anchors(t *testing.T, p *swtpm.TPM) (out certificates) {
	t.Helper()
	for _, name := range swtpm.Anchors(p.Dir()) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatalf("%s is not PEM", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// loaded counts the objects that are loaded in the TPM.
func loaded(t *testing.T, p *swtpm.TPM) int {
	t.Helper()
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x80000000, PropertyCount: 8}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	l, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Handle)
}

var platform = tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}

// undefine removes an NV index.
func undefine(t *testing.T, p *swtpm.TPM, index tpm2.TPMHandle) {
	t.Helper()
	public, err := tpm2.NVReadPublic{NVIndex: index}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.NVUndefineSpace{AuthHandle: platform, NVIndex: tpm2.NamedHandle{Handle: index, Name: public.NVName}}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
}

// define makes an NV index as a manufacturer does. With nil content it is not
// written.
func define(t *testing.T, p *swtpm.TPM, index tpm2.TPMHandle, content []byte) {
	t.Helper()
	_, err := tpm2.NVDefineSpace{AuthHandle: platform, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(max(len(content), 32)),
		Attributes: tpm2.TPMANV{PPWrite: true, PPRead: true, OwnerRead: true, AuthRead: true, NoDA: true, PlatformCreate: true},
	})}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	if content == nil {
		return
	}
	public, err := tpm2.NVReadPublic{NVIndex: index}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.NVWrite{AuthHandle: platform, NVIndex: tpm2.NamedHandle{Handle: index, Name: public.NVName}, Data: tpm2.TPM2BMaxNVBuffer{Buffer: content}}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
}
