package tpmdev

import (
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// nonceSize is the length of a session's nonces: as long as a SHA-256 session
// allows at the least (TPM 2.0 Library part 3, section 11.1,
// TPM2_StartAuthSession).
const nonceSize = 16 // bytes

// ActivateCredential opens a credential made for the AK under the EK (TPM 2.0
// Library part 1, section 24), as tpm2.CreateCredential makes it: object is
// TPMS_ID_OBJECT, secret the content of TPM2B_ENCRYPTED_SECRET. What it returns
// travels encrypted from the TPM, under a session key that only the EK could
// learn.
func (d *Device) ActivateCredential(object, secret []byte) (credential []byte, err error) {
	err = d.run("activate a credential", func() error {
		credential, err = d.activate(object, secret)
		return err
	})
	return credential, err
}

func (d *Device) activate(object, secret []byte) ([]byte, error) {
	ak, err := d.loadAK()
	if err != nil {
		return nil, err
	}
	ek, err := d.loadEK()
	if err != nil {
		return nil, err
	}
	defer d.flush(ek.handle)
	activate := ak.named()
	activate.Auth = ek.session(tpm2.AESEncryption(128, tpm2.EncryptOut))
	open := ek.named()
	open.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, nonceSize, ek.policySecret)
	rsp, err := tpm2.ActivateCredential{
		ActivateHandle: activate,
		KeyHandle:      open,
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: object},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: secret},
	}.Execute(d.conn)
	if err != nil {
		return nil, err
	}
	return rsp.CertInfo.Buffer, nil
}

// session is an HMAC session of one command, for an object with an empty
// password, whose key is salted with a secret for k.
func (k *key) session(opts ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, append(opts, tpm2.Salted(k.handle, k.public.Area()))...)
}

// policySecret satisfies the policy of the default EK templates: knowledge of the
// endorsement hierarchy's password, which is empty.
func (k *key) policySecret(tpm transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: k.session()},
		PolicySession: session,
		NonceTPM:      nonce,
	}.Execute(tpm)
	return err
}
