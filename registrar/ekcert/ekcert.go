// Package ekcert decides whether a vendor vouches for an endorsement key: it
// reads the certificates that a TPM carries, and verifies the one that is of
// the EK against the operator's trust anchors. Nothing is fetched, and no
// certificate of an agent's stands between an EK and an anchor.
//
// Specification: TCG EK Credential Profile for TPM Family 2.0, version 2.6,
// section 3.2; RFC 5280. In the profile's subset of X.509, as the module
// go-attestation checks it, a certificate must be of version 3 for an RSA or ECC
// key, with a positive serial number and an issuer. It must have
//
//   - a subject alternative name with one directory name that tells TPM
//     manufacturer, model and version and nothing else; critical, if the subject is
//     empty;
//   - critical basic constraints that say it is no CA;
//   - a critical key usage, with keyEncipherment (RSA) or keyAgreement (ECC);
//   - an authority key identifier with a key identifier, not critical.
//
// It may have
//
//   - extended key usages, not critical, of which one must be
//     tcg-kp-EKCertificate (2.23.133.8.1);
//   - a subject key identifier, authority information access or CRL distribution
//     points, none of them critical;
//   - certificate policies, with one at the least;
//   - subject directory attributes, which must tell the TPM specification;
//   - any other extension that crypto/x509 knows, or that is not critical.
//
// An expiry of 9999-12-31T23:59:59Z means that the certificate does not expire
// (RFC 5280, section 4.1.2.5).
//
// The package is pure: the time is an argument.
package ekcert

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-attestation/oid"
	x509ext "github.com/google/go-attestation/x509"

	"quicklime/wire"
)

// Why the certificates of an EK are refused. Every error of Check wraps one.
var (
	// ErrMismatch says that certificates came and that none of them is a
	// certificate of this EK.
	ErrMismatch = errors.New("no certificate fits the EK")
	// ErrUntrusted says that the EK's certificate does not chain to an anchor,
	// or not now.
	ErrUntrusted = errors.New("the EK certificate is not trusted")
	// ErrMalformed says that bytes are no EK certificate.
	ErrMalformed = errors.New("not an EK certificate")
)

// Endorsement is a certificate of an EK that an anchor of the operator signed.
// Only Check fills one; the zero Endorsement is none.
type Endorsement struct {
	der    []byte
	vendor string
}

// Certificate returns the certificate in DER, nil if there is none.
func (e Endorsement) Certificate() []byte { return bytes.Clone(e.der) }

// Vendor returns the TPM manufacturer that the certificate names, as "id:"
// and the hexadecimal TCG vendor id; empty if there is no certificate.
func (e Endorsement) Vendor() string { return e.vendor }

// Trusted reports whether there is a certificate.
func (e Endorsement) Trusted() bool { return e.der != nil }

// Check finds among certificates, as they were found in NV, the one of ek and
// verifies it at now. A TPM may carry certificates of other EKs of its own as
// well, and they are left aside; but if none is of ek, the error wraps
// ErrMismatch. Without any certificate the result is the zero Endorsement.
func Check(certificates [][]byte, ek crypto.PublicKey, anchors Anchors, now time.Time) (Endorsement, error) {
	if len(certificates) == 0 {
		return Endorsement{}, nil
	}
	c, err := find(certificates, ek)
	if err != nil {
		return Endorsement{}, err
	}
	if err := anchors.verify(c.parsed.Certificate, now); err != nil {
		return Endorsement{}, fmt.Errorf("%w: issued by %q, TPM vendor %s: %w", ErrUntrusted, c.parsed.Issuer, c.Vendor(), err)
	}
	return Endorsement{c.parsed.Raw, c.Vendor()}, nil
}

// find returns the certificate whose key is ek. If there is none it tells what
// is wrong with each.
func find(certificates [][]byte, ek crypto.PublicKey) (Certificate, error) {
	var wrong []error
	for i, nv := range certificates {
		c, err := Parse(nv)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("certificate %d: %w", i, err))
		case !c.Of(ek):
			wrong = append(wrong, fmt.Errorf("certificate %d is of another key", i))
		default:
			return c, nil
		}
	}
	return Certificate{}, fmt.Errorf("%w: %w", ErrMismatch, errors.Join(wrong...))
}

// Certificate is an EK certificate that was parsed. Nobody is known to have
// signed it.
type Certificate struct{ parsed *x509ext.EKCertificate }

// Parse reads an EK certificate in DER. An NV index is often larger than its
// certificate: bytes after it that are all 0x00 or all 0xFF are its padding. The error
// wraps ErrMalformed.
func Parse(nv []byte) (Certificate, error) {
	if len(nv) > wire.MaxCertificate {
		return Certificate{}, fmt.Errorf("%w: %d bytes, limit is %d", ErrMalformed, len(nv), wire.MaxCertificate)
	}
	der, err := cut(nv)
	if err != nil {
		return Certificate{}, err
	}
	c, err := x509ext.ParseEKCertificate(der)
	if err != nil {
		return Certificate{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !printableVendor(c.TpmManufacturer) {
		return Certificate{}, fmt.Errorf("%w: TPM manufacturer %q", ErrMalformed, c.TpmManufacturer)
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !c.HasEkcExtendedKeyUsage {
		return Certificate{}, fmt.Errorf("%w: its extended key usages are others than %v", ErrMalformed, oid.EKCertificate)
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		return Certificate{}, fmt.Errorf("%w: critical extensions %v are not known", ErrMalformed, c.UnhandledCriticalExtensions)
	}
	return Certificate{c}, nil
}

// Vendor returns the TPM manufacturer that the certificate names.
func (c Certificate) Vendor() string { return c.parsed.TpmManufacturer }

// Of reports whether the certificate's key is ek.
func (c Certificate) Of(ek crypto.PublicKey) bool {
	key, ok := c.parsed.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(ek)
}

// maxVendor bounds a TPM manufacturer: "id:" and eight hexadecimal digits, with
// room for vendors that write a name.
const maxVendor = 32 // bytes

func printableVendor(s string) bool { return s != "" && wire.Printable(s, maxVendor) }

// cut takes the certificate from what an NV index holds, without its padding. All it
// needs for that is the header of the outermost SEQUENCE (X.690, section 8.1):
//
//	0x30 | length: u8 < 0x80, or 0x81 u8, or 0x82 u16
func cut(nv []byte) ([]byte, error) {
	if len(nv) < 4 || nv[0] != 0x30 {
		return nil, fmt.Errorf("%w: no DER", ErrMalformed)
	}
	n := 2 + int(nv[1])
	switch nv[1] {
	case 0x81:
		n = 3 + int(nv[2])
	case 0x82:
		n = 4 + int(nv[2])<<8 + int(nv[3])
	}
	if n > len(nv) {
		return nil, fmt.Errorf("%w: it ends after %d of %d bytes", ErrMalformed, len(nv), n)
	}
	der, rest := nv[:n], nv[n:]
	if len(rest) > 0 {
		filler := rest[0]
		if filler != 0x00 && filler != 0xff || slices.ContainsFunc(rest, func(b byte) bool { return b != filler }) {
			return nil, fmt.Errorf("%w: %d bytes after it are no padding", ErrMalformed, len(rest))
		}
	}
	return der, nil
}
