package tpmdev

import (
	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/pcr"
)

// Quote has the AK sign the PCRs of a selection and extraData, at most 32 bytes.
// It returns TPMS_ATTEST and TPMT_SIGNATURE. A quote over a bank that is not
// allocated succeeds and covers nothing of it.
func (d *Device) Quote(sel pcr.Selection, extraData []byte) (attest, signature []byte, err error) {
	err = d.run("quote", func() error {
		if err := sel.Check(); err != nil {
			return err
		}
		ak, err := d.loadAK()
		if err != nil {
			return err
		}
		rsp, err := tpm2.Quote{
			SignHandle:     ak.named(),
			QualifyingData: tpm2.TPM2BData{Buffer: extraData},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, // the key has one
			PCRSelect:      selection(sel),
		}.Execute(d.conn)
		if err == nil {
			attest, signature = rsp.Quoted.Bytes(), tpm2.Marshal(rsp.Signature)
		}
		return err
	})
	return attest, signature, err
}

// CertifyTransport has the AK sign that the transport key is in the same TPM, and
// qualifying, at most 32 bytes. It returns TPMS_ATTEST and TPMT_SIGNATURE.
func (d *Device) CertifyTransport(qualifying []byte) (attest, signature []byte, err error) {
	err = d.run("certify the transport key", func() error {
		ak, err := d.loadAK()
		if err != nil {
			return err
		}
		transport, err := d.loadTransport()
		if err != nil {
			return err
		}
		rsp, err := tpm2.Certify{
			ObjectHandle:   transport.key.named(),
			SignHandle:     ak.named(),
			QualifyingData: tpm2.TPM2BData{Buffer: qualifying},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		}.Execute(d.conn)
		if err == nil {
			attest, signature = rsp.CertifyInfo.Bytes(), tpm2.Marshal(rsp.Signature)
		}
		return err
	})
	return attest, signature, err
}
