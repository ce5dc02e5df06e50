package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/pcr"
)

// VerifySignature checks a TPMT_SIGNATURE (part 2, section 11.3.4) by p over
// message. Scheme and hash of the signature must be those of the key, which must
// have a scheme: ECDSA or RSASSA with SHA-256 or stronger.
//
//	sigAlg u16 | hash u16 | ECDSA: r 2B | s 2B; RSASSA: signature 2B
//
// The error is ErrMalformed or ErrSignature.
func (p Public) VerifySignature(message, signature []byte) error {
	scheme, hash, err := p.scheme()
	if err != nil {
		return err
	}
	c := cursor{rest: signature}
	if gotScheme, gotHash := c.u16(), c.u16(); gotScheme != scheme || gotHash != uint16(hash) {
		return fmt.Errorf("%w: scheme 0x%04x with hash 0x%04x, the key's is 0x%04x with %v", ErrSignature, gotScheme, gotHash, scheme, hash)
	}
	digest := hash.Sum(message)
	switch key := p.key.(type) {
	case *ecdsa.PublicKey:
		r, s := c.sized(), c.sized()
		if !c.done() {
			return fmt.Errorf("%w: signature", ErrMalformed)
		}
		if !ecdsa.Verify(key, digest, new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)) {
			return ErrSignature
		}
	case *rsa.PublicKey:
		sig := c.sized()
		if !c.done() {
			return fmt.Errorf("%w: signature", ErrMalformed)
		}
		if err := rsa.VerifyPKCS1v15(key, hash.Hash(), digest, sig); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
	}
	return nil
}

// SigningHash returns the hash of the key's signing scheme, with which a quote
// also hashes its PCRs. It is 0 for a key without one.
func (p Public) SigningHash() crypto.Hash {
	_, hash, err := p.scheme()
	if err != nil {
		return 0
	}
	return hash.Hash()
}

// scheme returns the key's signing scheme and its hash.
func (p Public) scheme() (alg uint16, hash pcr.Bank, err error) {
	switch p.area.Type {
	case tpm2.TPMAlgECC:
		alg, hash = eccScheme(p.area)
	case tpm2.TPMAlgRSA:
		alg, hash = rsaScheme(p.area)
	}
	if !hash.Known() || hash == pcr.SHA1 {
		return 0, 0, fmt.Errorf("%w: the key has no signing scheme of this protocol", ErrSignature)
	}
	return alg, hash, nil
}

func eccScheme(area tpm2.TPMTPublic) (uint16, pcr.Bank) {
	parms, err := area.Parameters.ECCDetail()
	if err != nil || parms.Scheme.Scheme != tpm2.TPMAlgECDSA {
		return 0, 0
	}
	scheme, err := parms.Scheme.Details.ECDSA()
	if err != nil {
		return 0, 0
	}
	return algECDSA, pcr.Bank(scheme.HashAlg)
}

func rsaScheme(area tpm2.TPMTPublic) (uint16, pcr.Bank) {
	parms, err := area.Parameters.RSADetail()
	if err != nil || parms.Scheme.Scheme != tpm2.TPMAlgRSASSA {
		return 0, 0
	}
	scheme, err := parms.Scheme.Details.RSASSA()
	if err != nil {
		return 0, 0
	}
	return algRSASSA, pcr.Bank(scheme.HashAlg)
}
