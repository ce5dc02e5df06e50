package identity

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// area returns a TPMT_PUBLIC of the template with a fresh key in it.
func area(t *testing.T, template tpm2.TPMTPublic) []byte {
	t.Helper()
	b, _ := softtpm.Area(t, template)
	return b
}

// capturedEK is the EK of a real TPM, with its id.
func capturedEK(t *testing.T) (ek []byte, id string) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/captures/direct-6.1-ima-ng/ek_rsa2048.pub.tpm2b_public.bin")
	if err != nil {
		t.Fatal(err)
	}
	ek = b[2:] // TPM2B: size u16 | TPMT_PUBLIC
	p, err := tpm.ParsePublic(ek)
	if err != nil {
		t.Fatal(err)
	}
	return ek, p.AgentID()
}

func TestI11_CheckBindsIDToEK(t *testing.T) {
	ek, id := capturedEK(t)
	ak, transport := area(t, tpm.AKTemplate()), area(t, tpm.TransportTemplate())
	encrypting := tpm.AKTemplate()
	encrypting.ObjectAttributes.Restricted = false
	cases := []struct {
		name              string
		id                string
		ek, ak, transport []byte
		want              string // part of the error; empty: none
	}{
		{"sound", id, ek, ak, transport, ""},
		{"no id", "../" + id[3:], ek, ak, transport, "is not an agent id"},
		{"another id", strings.Repeat("0", 64), ek, ak, transport, "the EK is that of " + id},
		{"EK cut", id, ek[:len(ek)-1], ak, transport, "EK: "},
		{"AK with a byte more", id, ek, append(ak[:len(ak):len(ak)], 0), transport, "AK: "},
		{"no transport key", id, ek, ak, nil, "transport key: "},
		{"AK and transport key swapped", id, ek, transport, ak, "the AK is not of"},
		{"an AK that signs anything", id, ek, area(t, encrypting), transport, "the AK is not of"},
		{"the AK as transport key", id, ek, ak, ak, "the transport key is not of"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Check(c.id, c.ek, c.ak, c.transport)
			if c.want == "" {
				if err != nil || got.ID() != id || got.EK().AgentID() != id {
					t.Fatalf("Check = %v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check = %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}
