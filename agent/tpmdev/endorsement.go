package tpmdev

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/tpm"
)

// Endorsement says who the TPM is.
type Endorsement struct {
	Public       []byte   // TPMT_PUBLIC of the EK
	Certificates [][]byte // DER, as found in NV; none if its manufacturer put none there
}

// Endorsement returns the EK and its certificate: the RSA-2048 EK (L-1) if NV has
// a certificate for it, else the ECC P-256 EK (L-2) if there is one for that,
// else the RSA-2048 EK without.
func (d *Device) Endorsement() (e Endorsement, err error) {
	err = d.run("read the EK", func() error {
		k, err := d.loadEK()
		if err != nil {
			return err
		}
		d.flush(k.handle)
		e.Public = k.public.Bytes()
		if d.ek.certificate != nil {
			e.Certificates = [][]byte{d.ek.certificate}
		}
		return nil
	})
	return e, err
}

// ek is a kind of EK: its template and its certificate, nil if there is none.
type ek struct {
	template    tpm2.TPMTPublic
	certificate []byte

	saved  *tpm2.TPMSContext // nil: it was not made yet
	public tpm.Public        // of what is saved
}

// loadEK loads the EK, which the caller flushes. To make an RSA key takes a TPM seconds,
// in which it quotes nothing; what was made once is loaded from its saved context (TPM
// 2.0 Library part 3, section 28), which takes none of its slots.
func (d *Device) loadEK() (*key, error) {
	choice, err := d.chooseEK()
	if err != nil {
		return nil, err
	}
	if choice.saved != nil {
		if rsp, err := (tpm2.ContextLoad{Context: *choice.saved}).Execute(d.conn); err == nil {
			return &key{rsp.LoadedHandle, choice.public}, nil
		}
		choice.saved = nil // the TPM was reset
	}
	k, err := d.primary(tpm2.TPMRHEndorsement, choice.template)
	if err != nil {
		return nil, err
	}
	if rsp, err := (tpm2.ContextSave{SaveHandle: k.handle}).Execute(d.conn); err == nil {
		choice.saved, choice.public = &rsp.Context, k.public
	}
	return k, nil
}

// The NV indices of EK certificates (TCG EK Credential Profile for TPM Family 2.0,
// version 2.6, Low Range).
const (
	nvCertRSA2048 tpm2.TPMHandle = 0x01c00002 // L-1
	nvCertECCP256 tpm2.TPMHandle = 0x01c0000a // L-2
)

// chooseEK decides which EK the TPM is known by, once.
func (d *Device) chooseEK() (*ek, error) {
	if d.ek != nil {
		return d.ek, nil
	}
	choice := &ek{template: tpm2.RSAEKTemplate}
	for _, c := range []struct {
		index    tpm2.TPMHandle
		template tpm2.TPMTPublic
	}{{nvCertRSA2048, tpm2.RSAEKTemplate}, {nvCertECCP256, tpm2.ECCEKTemplate}} {
		certificate, err := d.readCertificate(c.index)
		if err != nil {
			return nil, fmt.Errorf("EK certificate in NV index 0x%08x: %w", uint32(c.index), err)
		}
		if certificate != nil {
			choice = &ek{template: c.template, certificate: certificate}
			break
		}
	}
	d.ek = choice
	return choice, nil
}

// readCertificate reads a certificate from NV. It returns nil if the index does
// not exist, was never written, or holds no DER.
func (d *Device) readCertificate(index tpm2.TPMHandle) ([]byte, error) {
	b, err := d.readNV(index)
	if errors.Is(err, tpm2.TPMRCHandle) || errors.Is(err, tpm2.TPMRCNVUninitialized) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return derOf(b), nil
}

// derOf returns the DER item that an NV index holds, nil if it holds none. Some
// indices are longer than what is in them.
func derOf(nv []byte) []byte {
	var der asn1.RawValue
	if _, err := asn1.Unmarshal(nv, &der); err != nil {
		return nil
	}
	return der.FullBytes
}

// readNV reads an NV index with the index's own, empty password.
func (d *Device) readNV(index tpm2.TPMHandle) ([]byte, error) {
	rsp, err := tpm2.NVReadPublic{NVIndex: index}.Execute(d.conn)
	if err != nil {
		return nil, err
	}
	public, err := rsp.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	if public.DataSize > wire.MaxCertificate {
		return nil, fmt.Errorf("%d bytes, limit is %d", public.DataSize, wire.MaxCertificate)
	}
	var out []byte
	for len(out) < int(public.DataSize) {
		rsp, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: rsp.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: rsp.NVName},
			Size:       uint16(min(NVChunk, int(public.DataSize)-len(out))),
			Offset:     uint16(len(out)),
		}.Execute(d.conn)
		if err != nil {
			return nil, err
		}
		if len(rsp.Data.Buffer) == 0 {
			return nil, errors.New("the TPM returns nothing")
		}
		out = append(out, rsp.Data.Buffer...)
	}
	return out, nil
}
