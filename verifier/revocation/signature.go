package revocation

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// eventHeader carries the event's id, so that a receiver need not read the body to
// know a repetition.
const eventHeader = "Quicklime-Event"

// covered are the components that the signature is over (RFC 9421, section 2). By the
// digest (RFC 9530) that is the body, too.
var covered = []string{"@method", "@target-uri", "content-type", "content-digest", "quicklime-event"}

// sign adds an HTTP message signature by the revocation key to a request with that
// body: algorithm ecdsa-p256-sha256, keyid the hexadecimal SHA-256 of the key's
// SubjectPublicKeyInfo. A receiver refuses one whose created is minutes old.
func sign(req *http.Request, body []byte, key *ecdsa.PrivateKey, now time.Time) error {
	digest := sha256.Sum256(body)
	req.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":")
	id, err := keyID(key.Public())
	if err != nil {
		return err
	}
	parameters := fmt.Sprintf(`("%s");created=%d;keyid="%s";alg="ecdsa-p256-sha256";tag="quicklime-webhook"`, strings.Join(covered, `" "`), now.Unix(), id)
	hash := sha256.Sum256([]byte(signatureBase(req, parameters)))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		return err
	}
	var raw [64]byte // r ‖ s (section 3.3.4)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	req.Header.Set("Signature-Input", "quicklime="+parameters)
	req.Header.Set("Signature", "quicklime=:"+base64.StdEncoding.EncodeToString(raw[:])+":")
	return nil
}

// signatureBase is what is signed (RFC 9421, section 2.5).
func signatureBase(req *http.Request, parameters string) string {
	var b strings.Builder
	for _, c := range covered {
		value := req.Header.Get(c)
		switch c {
		case "@method":
			value = req.Method
		case "@target-uri":
			value = req.URL.String()
		}
		fmt.Fprintf(&b, "%q: %s\n", c, value)
	}
	fmt.Fprintf(&b, "%q: %s", "@signature-params", parameters)
	return b.String()
}

// keyID names a public key.
func keyID(public any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
