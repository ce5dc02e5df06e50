package tpmdev

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/tpm"
)

// key is a loaded primary.
type key struct {
	handle tpm2.TPMHandle
	public tpm.Public
}

// primary makes a primary key, whose password is empty.
func (d *Device) primary(hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic) (*key, error) {
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(template)}.Execute(d.conn)
	if err != nil {
		return nil, err
	}
	public, err := tpm.ParsePublic(rsp.OutPublic.Bytes())
	if err != nil {
		d.flush(rsp.ObjectHandle)
		return nil, fmt.Errorf("the TPM made a key that cannot be read: %w", err)
	}
	return &key{rsp.ObjectHandle, public}, nil
}

// named is the key as a command that is authorised with its empty password
// wants it.
func (k *key) named() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.handle, Name: tpm2.TPM2BName{Buffer: k.public.Name()}, Auth: tpm2.PasswordAuth(nil)}
}

// AK returns the AK's TPMT_PUBLIC.
func (d *Device) AK() (public []byte, err error) {
	err = d.run("make the AK", func() error {
		ak, err := d.loadAK()
		if err == nil {
			public = ak.public.Bytes()
		}
		return err
	})
	return public, err
}

// loadAK makes the AK if it is not loaded.
func (d *Device) loadAK() (*key, error) {
	if d.ak != nil {
		return d.ak, nil
	}
	k, err := d.primary(tpm2.TPMRHEndorsement, tpm.AKTemplate())
	d.ak = k
	return k, err
}

// flush unloads an object or session. Its error would say that the handle is
// gone already.
func (d *Device) flush(h tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h}.Execute(d.conn)
}

// flushAll unloads every object and every session.
func (d *Device) flushAll() error {
	for _, kind := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTLoadedSession, tpm2.TPMHTSavedSession} {
		handles, err := d.loaded(kind)
		if err != nil {
			return err
		}
		for _, h := range handles {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(d.conn); err != nil {
				return err
			}
		}
	}
	return nil
}

// loaded lists the handles of a kind that are in use. A TPM has far fewer slots
// than flushBatch.
func (d *Device) loaded(kind tpm2.TPMHT) ([]tpm2.TPMHandle, error) {
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(kind) << 24, PropertyCount: flushBatch}.Execute(d.conn)
	if err != nil {
		return nil, err
	}
	list, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	return list.Handle, nil
}
