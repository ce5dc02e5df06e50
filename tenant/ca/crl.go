package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// A Reason is why a certificate was revoked, by its name in RFC 5280, section 5.3.1.
type Reason string

// The reasons that make sense of a leaf and do not end.
var reasons = map[Reason]int{
	"unspecified":          0,
	"keyCompromise":        1,
	"affiliationChanged":   3,
	"superseded":           4,
	"cessationOfOperation": 5,
	"privilegeWithdrawn":   9,
}

// ParseReason reads the name of a reason.
func ParseReason(s string) (Reason, error) {
	if _, ok := reasons[Reason(s)]; !ok {
		return "", fmt.Errorf("%q is no reason: want unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn", s)
	}
	return Reason(s), nil
}

// ErrClockBehind says that a list of now would be older than the last.
var ErrClockBehind = errors.New("the clock is behind the last revocation list")

// Revocations signs the next revocation list (RFC 5280, section 5) and returns it in
// DER and the register that says so. It is good from now until the register's life of
// a list is over, but no longer than the authority.
func (a Authority) Revocations(r Register, now time.Time) ([]byte, Register, error) {
	now = now.UTC().Truncate(time.Second)
	until := now.Add(time.Duration(r.ListLife) * time.Second)
	switch {
	case now.Before(r.List.ThisUpdate):
		return nil, r, fmt.Errorf("%w, of %s", ErrClockBehind, r.List.ThisUpdate.UTC().Format(time.RFC3339))
	case !now.Before(a.cert.NotAfter):
		return nil, r, fmt.Errorf("the authority ended on %s", a.cert.NotAfter.UTC().Format(time.RFC3339))
	case until.After(a.cert.NotAfter):
		until = a.cert.NotAfter
	}
	t := &x509.RevocationList{
		Number:     new(big.Int).SetUint64(r.List.Number + 1),
		ThisUpdate: now, NextUpdate: until,
	}
	for _, e := range r.Certificates {
		if !r.lists(e) {
			continue
		}
		serial, err := e.serial()
		if err != nil {
			return nil, r, err
		}
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: e.RevokedAt, ReasonCode: reasons[e.Reason],
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, a.cert, a.key)
	if err != nil {
		return nil, r, err
	}
	r.List = ListState{r.List.Number + 1, now, until}
	return der, r, nil
}

// MarshalList returns a revocation list as PEM.
func MarshalList(der []byte) []byte { return encode(pemList, der) }

// serial reads the serial number.
func (e Entry) serial() (*big.Int, error) {
	b, err := hex.DecodeString(e.Serial)
	if err != nil || len(b) != serialBits/8 {
		return nil, fmt.Errorf("serial number %q", e.Serial)
	}
	return new(big.Int).SetBytes(b), nil
}
