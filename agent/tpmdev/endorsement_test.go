package tpmdev_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"quicklime/agent/swtpm"
	"quicklime/wire/pcr"
)

func TestActivateCredential(t *testing.T) {
	d, _ := newDevice(t)
	if _, err := d.Transport(); err != nil { // so that all three slots are used
		t.Fatal(err)
	}
	public, err := d.AK()
	ak := parsed(t, public, err)
	e, err := d.Endorsement()
	ek := parsed(t, e.Public, err)
	area := ek.Area()
	seal, err := tpm2.ImportEncapsulationKey(&area)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("thirty-two bytes of some secret.")
	object, secret, err := tpm2.CreateCredential(rand.Reader, seal, ak.Name(), want)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // nothing may stay behind
		got, err := d.ActivateCredential(object, secret)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("credential %q, want %q", got, want)
		}
	}
	other, secret, err := tpm2.CreateCredential(rand.Reader, seal, ek.Name(), want)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // more often than there are slots
		if got, err := d.ActivateCredential(other, secret); err == nil {
			t.Errorf("a credential for another key opens: %q", got)
		}
	}
	if got, err := d.ActivateCredential(object, nil); err == nil {
		t.Errorf("a credential without its secret opens: %q", got)
	}
	if _, _, err := d.Quote(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Of(10)}}, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// The EK is made once: that takes a TPM seconds, in which it quotes nothing.
func TestTheEKIsMadeOnce(t *testing.T) {
	d, p := newDevice(t)
	if _, err := d.Transport(); err != nil { // so that all three slots are used
		t.Fatal(err)
	}
	e, err := d.Endorsement()
	ek := parsed(t, e.Public, err)
	area := ek.Area()
	seal, err := tpm2.ImportEncapsulationKey(&area)
	if err != nil {
		t.Fatal(err)
	}
	public, err := d.AK()
	object, secret, err := tpm2.CreateCredential(rand.Reader, seal, parsed(t, public, err).Name(), []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	setPassword(t, p, "", "without which no primary is made")
	if again, err := d.Endorsement(); err != nil || !bytes.Equal(again.Public, e.Public) {
		t.Errorf("%x, %v", again.Public, err)
	}
	setPassword(t, p, "without which no primary is made", "")
	if got, err := d.ActivateCredential(object, secret); err != nil || string(got) != "a secret" {
		t.Errorf("%q, %v", got, err)
	}
}

// setPassword changes that of the endorsement hierarchy.
func setPassword(t *testing.T, p *swtpm.TPM, old, next string) {
	t.Helper()
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth([]byte(old))},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte(next)},
	}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
}

func TestEndorsementCertificate(t *testing.T) {
	d, p := newDevice(t)
	e, err := d.Endorsement()
	ek := parsed(t, e.Public, err)
	if !ek.Matches(tpm2.RSAEKTemplate) {
		t.Errorf("not an L-1 EK: %+v", ek.Area())
	}
	if len(e.Certificates) != 1 {
		t.Fatalf("%d certificates", len(e.Certificates))
	}
	leaf, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ek.Key(), leaf.PublicKey); diff != "" {
		t.Errorf("the certificate is for another key (-EK +certificate):\n%s", diff)
	}
	leaf.UnhandledCriticalExtensions = nil // the TPM's identity, in a directory name
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: anchors(t, p)[:1].pool(), Intermediates: anchors(t, p)[1:].pool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEndorsementWithoutCertificate(t *testing.T) {
	d, p := newDevice(t)
	for _, tt := range []struct {
		template     tpm2.TPMTPublic
		certificates int
		remove       tpm2.TPMHandle
	}{
		{tpm2.RSAEKTemplate, 1, 0x01c00002},
		{tpm2.RSAEKTemplate, 0, 0},
	} {
		e, err := opened(t, p).Endorsement()
		ek := parsed(t, e.Public, err)
		if !ek.Matches(tt.template) || len(e.Certificates) != tt.certificates {
			t.Errorf("%d certificates, want %d", len(e.Certificates), tt.certificates)
		}
		if tt.remove != 0 {
			undefine(t, p, tt.remove)
		}
	}
	if e, err := d.Endorsement(); err != nil || len(e.Certificates) != 0 {
		t.Errorf("%d certificates, error %v", len(e.Certificates), err)
	}
	define(t, p, 0x01c00002, nil) // and never written
	if e, err := opened(t, p).Endorsement(); err != nil || len(e.Certificates) != 0 {
		t.Errorf("%d certificates, error %v", len(e.Certificates), err)
	}
	define(t, p, 0x01c0000a, []byte{0x30, 0x03, 0x02, 0x01, 0x05, 0xff, 0xff})
	e, err := opened(t, p).Endorsement()
	if ek := parsed(t, e.Public, err); !ek.Matches(tpm2.ECCEKTemplate) {
		t.Errorf("not an L-2 EK: %+v", ek.Area())
	}
	if diff := cmp.Diff([][]byte{{0x30, 0x03, 0x02, 0x01, 0x05}}, e.Certificates); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
}
