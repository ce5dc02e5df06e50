package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"quicklime/wire/daemon"
	"quicklime/wire/notice"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// The names of the keys' files.
const (
	noticeKey  = "revocation"
	keylimeKey = "revocation-keylime"
)

// rsaBits is the size of the RSA key, which is that of Keylime's own. Whoever wants
// more checks the HTTP signature.
const rsaBits = 2048

// Keys are what the verifier signs with when it tells others. Agents pin the first
// when they join. The second makes the one signature that Keylime's receivers check,
// and is there only if there are webhooks.
type Keys struct {
	Notice  *ecdsa.PrivateKey // P-256
	Keylime *rsa.PrivateKey   // nil: none

	before chain // how Notice came to be what it is
}

// OpenKeys reads the keys, and makes what is missing of them.
func OpenKeys(ca *pki.Authority, keylime bool) (k Keys, err error) {
	signer, blocks, err := ca.SignerWith(noticeKey, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return k, err
	}
	if k.Notice, k.before, err = readKey(signer, blocks); err != nil {
		return k, err
	}
	if !keylime {
		return k, nil
	}
	if signer, err = ca.Signer(keylimeKey, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) }); err != nil {
		return k, err
	}
	var ok bool
	if k.Keylime, ok = signer.(*rsa.PrivateKey); !ok {
		return k, fmt.Errorf("%s.key is not an RSA key", keylimeKey)
	}
	return k, nil
}

// readKey checks what the file of the revocation key holds.
func readKey(signer crypto.Signer, blocks []*pem.Block) (*ecdsa.PrivateKey, chain, error) {
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, nil, fmt.Errorf("%s.key is not an ECDSA key on P-256", noticeKey)
	}
	to, err := notice.KeyOf(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	c, err := readChain(blocks, to)
	if err != nil {
		return nil, nil, daemon.WithHint(fmt.Errorf("%s.key: %w", noticeKey, err),
			"restore the file; or remove it, so that the verifier makes a key anew when it starts, and let every machine join again")
	}
	return key, c, nil
}

// Public returns the public keys.
func (k Keys) Public() (p rest.RevocationKeys, err error) {
	if p.Notice, err = x509.MarshalPKIXPublicKey(k.Notice.Public()); err != nil || k.Keylime == nil {
		return p, err
	}
	p.Keylime, err = x509.MarshalPKIXPublicKey(k.Keylime.Public())
	return p, err
}
