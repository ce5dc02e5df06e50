package dsse

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verify returns the policy of an envelope that has a good signature of a trusted
// key. now, which must not be zero, is when certificates have to be valid. The error
// says of each signature why it does not count, and what is configured.
func (k *Keys) Verify(e *Envelope, now time.Time) (Verified, error) {
	if now.IsZero() {
		return Verified{}, errors.New("verifying a policy at no time") // for which x509 takes the present
	}
	v := Verified{payload: e.payload}
	m := newMessage(e.of, e.payload)
	var refused []string
	for i, s := range e.signatures {
		by, err := k.signerOf(m, s, now)
		switch {
		case err != nil:
			refused = append(refused, fmt.Sprintf("\nsignature %d: %v", i+1, err))
		case !slices.Contains(v.signers, by):
			v.signers = append(v.signers, by)
		}
	}
	if len(v.signers) == 0 {
		return Verified{}, fmt.Errorf("the policy is signed by nobody who is trusted:%s\ntrusted are: %s", strings.Join(refused, ""), k)
	}
	return v, nil
}

// signerOf finds the trusted key that made a signature.
func (k *Keys) signerOf(m message, s signature, now time.Time) (Signer, error) {
	candidates, err := k.candidates(s.keyID, now)
	for _, c := range candidates {
		if c.good(m, s.sig) {
			return c.signer(), nil
		}
	}
	return Signer{}, err
}

// candidates are the trusted keys that a signature with this key id may be of, and
// the error is what to say if none of them made it.
func (k *Keys) candidates(id string, now time.Time) ([]key, error) {
	claimed, err := carried(id)
	if err != nil {
		return nil, err
	}
	named := id
	if claimed != nil {
		named = claimed.id
	}
	usable, expired := k.usable(now)
	if i := slices.IndexFunc(usable, func(c key) bool { return c.id == named }); i >= 0 {
		return usable[i : i+1], fmt.Errorf("it is not the signature that %s makes of this policy: one of them was changed", usable[i].signer())
	}
	if i := slices.IndexFunc(expired, func(c key) bool { return c.id == named }); i >= 0 {
		return nil, checkDates(expired[i].certificate, now)
	}
	if claimed != nil {
		if err := k.chain(claimed.certificate, now); err != nil {
			return nil, err
		}
		return []key{*claimed}, fmt.Errorf("it is not the signature that %s makes of this policy: one of them was changed", claimed.signer())
	}
	return usable, fmt.Errorf("key id %s is none of a key that is trusted", quote(id))
}

// usable splits the configured keys by whether their certificate, if they have one,
// is valid.
func (k *Keys) usable(now time.Time) (usable, expired []key) {
	for _, c := range k.keys {
		if c.certificate == nil || checkDates(c.certificate, now) == nil && signs(c.certificate) {
			usable = append(usable, c)
		} else if checkDates(c.certificate, now) != nil {
			expired = append(expired, c)
		}
	}
	return usable, expired
}

// carried returns the key of a certificate that is a key id, or nil if id is
// another.
func carried(id string) (*key, error) {
	text, err := base64.StdEncoding.DecodeString(id)
	if err != nil {
		return nil, nil
	}
	b, rest := pem.Decode(text)
	if b == nil || b.Type != pemCertificate || len(rest) != 0 {
		return nil, nil
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate in its key id: %w", err)
	}
	k, err := newKey(c.PublicKey, c)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %q has %w", c.Subject, err)
	}
	return &k, nil
}

// chain checks that a certificate which an envelope carried was issued by a
// configured CA to sign code.
func (k *Keys) chain(c *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool() // never nil, which would mean the system's
	for _, ca := range k.cas {
		pool.AddCert(ca)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	switch _, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: usages}); {
	case err != nil:
		return fmt.Errorf("the certificate of %q is neither configured nor of a CA that is: %w", c.Subject, err)
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return fmt.Errorf("the certificate of %q is of a trusted CA, but its extended key usage does not name code signing", c.Subject)
	case !signs(c):
		return fmt.Errorf("the certificate of %q is of a trusted CA, but its key usage does not name digital signature", c.Subject)
	}
	return nil
}

// signs reports whether a certificate's key usage, if it has one, lets it sign.
func signs(c *x509.Certificate) bool {
	return c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageDigitalSignature != 0
}

func checkDates(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("the certificate of %q is valid from %s to %s, and it is %s", c.Subject,
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// String names all that is trusted.
func (k *Keys) String() string {
	if k.Len() == 0 {
		return "nobody"
	}
	var all []string
	for _, c := range k.keys {
		all = append(all, c.signer().String())
	}
	return strings.Join(all, "; ")
}
