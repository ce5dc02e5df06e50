package payload

import (
	"bytes"
	"crypto/rand"
	"os"
	"testing"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/wire/payload"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

func TestMain(m *testing.M) { os.Exit(swtpmtest.Main(m)) }

// device opens a TPM and returns its EK and AK.
func device(t *testing.T, banks ...pcr.Bank) (d *tpmdev.Device, ek, ak tpm.Public) {
	t.Helper()
	d, err := tpmdev.Open(swtpmtest.New(t, banks...).Device())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	e, err := d.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	area, err := d.AK()
	if err != nil {
		t.Fatal(err)
	}
	if ek, err = tpm.ParsePublic(e.Public); err != nil {
		t.Fatal(err)
	}
	if ak, err = tpm.ParsePublic(area); err != nil {
		t.Fatal(err)
	}
	return d, ek, ak
}

// A share opens in the TPM that it was sealed to, for the AK that it was sealed for,
// as it was sealed, and nowhere else.
func TestI27_AShareOpensInOneTPMForOneAK(t *testing.T) {
	d, ek, ak := device(t, pcr.SHA256)
	other, _, _ := device(t, pcr.SHA1, pcr.SHA256) // of other seeds
	u, err := payload.NewShare(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := payload.SealShare(rand.Reader, ek, ak, u)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if got, err := d.ActivateCredential(s.Object, s.Secret); err != nil || !bytes.Equal(got, u[:]) {
		t.Fatalf("%x, %v", got, err)
	}
	if got, err := other.ActivateCredential(s.Object, s.Secret); err == nil {
		t.Errorf("another TPM opens it: %x", got)
	}
	forOther, err := payload.SealShare(rand.Reader, ek, softtpm.New(t).Public, u)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.ActivateCredential(forOther.Object, forOther.Secret); err == nil {
		t.Errorf("it opens for another AK: %x", got)
	}
	changed := bytes.Clone(s.Object)
	changed[len(changed)-1] ^= 1
	if got, err := d.ActivateCredential(changed, s.Secret); err == nil {
		t.Errorf("a changed one opens: %x", got)
	}
	if bytes.Contains(s.Object, u[:]) || bytes.Contains(s.Secret, u[:]) {
		t.Error("the share is in what it is sealed in")
	}
}
