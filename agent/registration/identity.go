package registration

import (
	"crypto/tls"

	"quicklime/wire"
	"quicklime/wire/tpm"
)

// identity is who a TPM is.
type identity struct {
	ek, ak, transport tpm.Public
	certificates      [][]byte        // of the EK, DER
	certificate       tls.Certificate // of the transport key
}

// identify reads the TPM's keys.
func identify(dev TPM) (id identity, err error) {
	e, err := dev.Endorsement()
	if id.ek, err = parsed("EK", e.Public, err); err != nil {
		return identity{}, err
	}
	id.certificates = e.Certificates
	ak, err := dev.AK()
	if id.ak, err = parsed("AK", ak, err); err != nil {
		return identity{}, err
	}
	k, err := dev.Transport()
	if err != nil {
		return identity{}, err
	}
	if id.transport, err = parsed("transport key", k.PublicArea(), nil); err != nil {
		return identity{}, err
	}
	id.certificate, err = k.TLSCertificate()
	return id, err
}

// register makes the message that the TPM's keys belong together on the
// connection with the exporter.
func (id identity) register(dev TPM, exporter []byte) (wire.Register, error) {
	q := wire.RegisterQualifying(exporter, id.ek.Name(), id.ak.Name(), id.transport.Name())
	attest, signature, err := dev.CertifyTransport(q[:])
	if err != nil {
		return wire.Register{}, err
	}
	return wire.Register{
		Version:  wire.ProtocolVersion,
		EKPublic: id.ek.Bytes(), EKCertificates: id.certificates,
		AKPublic: id.ak.Bytes(), Transport: id.transport.Bytes(),
		Certify: attest, Signature: signature,
	}, nil
}
