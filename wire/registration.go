package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
)

// RegisterQualifying returns the qualifying data with which the AK certifies the
// transport key, so that the certification is of these three keys on this
// connection:
//
//	SHA-256("quicklime-register/1" ‖ exporter ‖ Name of EK ‖ Name of AK ‖ Name of transport key)
func RegisterQualifying(exporter, ek, ak, transport []byte) [sha256.Size]byte {
	return sha256.Sum256(bytes.Join([][]byte{[]byte(ALPNRegister), exporter, ek, ak, transport}, nil))
}

// RegisterProof returns the HMAC of Proof, made with the secret that the
// credential held. register and credential are the two messages as frames,
// header included:
//
//	HMAC-SHA256(secret, "quicklime-register/1 proof" ‖ SHA-256(register ‖ credential) ‖ exporter)
func RegisterProof(secret, register, credential, exporter []byte) []byte {
	transcript := sha256.Sum256(append(bytes.Clone(register), credential...))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(ALPNRegister + " proof"))
	mac.Write(transcript[:])
	mac.Write(exporter)
	return mac.Sum(nil)
}
