// Package jointoken is the join token: the one line of text that brings a
// machine into an installation. It says whom the machine may trust and carries
// the one-use secret by which an operator binds a TPM to a machine (I23).
//
// The text is "quicklime-join-1." followed by the unpadded base64url form (RFC
// 4648, section 5) of one CBOR map in its core deterministic encoding (RFC 8949,
// section 4.2.1):
//
//	token = {
//	  1: tstr .size 16  ; token id, lower-case hexadecimal
//	  2: bstr .size 32  ; registration secret
//	  3: uint           ; expiry, seconds since 1970 UTC
//	  4: bstr .size 32  ; SHA-256 of the CA's SubjectPublicKeyInfo
//	  5: server         ; registrar
//	  6: server         ; verifier
//	  ? 7: bstr .size 65 ; the operator's payload key, see quicklime/wire/payload
//	  ? 8: bstr .size 33 ; the verifier's revocation key, a compressed point of P-256
//	}
//	server = {
//	  1: tstr           ; address, host:port
//	  2: tstr           ; DNS name or IP address in the server's certificate
//	}
//
// Without key 8 a machine takes no notices. An unknown key is an error: whoever cannot act on what a token says
// must not pretend that it did.
//
// There is one text for each token: [Parse] accepts only what [Token.Format]
// writes, plus white space at its end, as files and terminals add it.
//
// The package is pure: plain data in, plain data out.
package jointoken

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/strictcbor"
)

// Prefix starts every token: a person recognises it, and a search for leaked
// secrets finds it.
const Prefix = "quicklime-join-1."

// SecretSize is the length of a registration secret: it is never guessed.
const SecretSize = 32 // bytes

// MaxText bounds a token's text: two servers of two full DNS names each and the
// fixed fields need some 1,700 characters.
const MaxText = 2 << 10 // bytes

// ErrMalformed says that a text is no join token.
var ErrMalformed = errors.New("not a join token")

// Token is a join token. Its zero value is not valid.
type Token struct {
	ID        string // 16 lower-case hexadecimal digits
	Secret    [SecretSize]byte
	Expires   time.Time // whole seconds, UTC; the registrar's clock decides
	CAPin     [32]byte  // SHA-256 of the CA's SubjectPublicKeyInfo
	Registrar Server
	Verifier  Server

	PayloadKey    PayloadKey
	RevocationKey notice.Key // the zero Key: none
}

// body is a token as CBOR.
type body struct {
	ID        string           `cbor:"1,keyasint"`
	Secret    [SecretSize]byte `cbor:"2,keyasint"`
	Expires   uint64           `cbor:"3,keyasint"`
	CAPin     [32]byte         `cbor:"4,keyasint"`
	Registrar Server           `cbor:"5,keyasint"`
	Verifier  Server           `cbor:"6,keyasint"`

	PayloadKey    []byte `cbor:"7,keyasint,omitempty"`
	RevocationKey []byte `cbor:"8,keyasint,omitempty"`
}

// maxExpiry is the last second of the year 9999, the end of what RFC 3339 can
// write.
const maxExpiry = 253402300799

// String names the token without its secret, so that a log cannot leak it.
func (t Token) String() string { return "join token " + t.ID }

// Format returns the token's text, without a line break. It refuses a token
// that Parse would refuse.
func (t Token) Format() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	c := body{
		ID: t.ID, Secret: t.Secret, Expires: uint64(t.Expires.Unix()),
		CAPin: t.CAPin, Registrar: t.Registrar, Verifier: t.Verifier, PayloadKey: t.PayloadKey.bytes(),
	}
	if t.RevocationKey != (notice.Key{}) {
		c.RevocationKey = t.RevocationKey[:]
	}
	b, err := strictcbor.Marshal(c)
	if err != nil {
		return "", err
	}
	return Prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// Parse reads a token's text. Every error wraps ErrMalformed and none repeats
// the text, which is a secret.
func Parse(text string) (Token, error) {
	if len(text) > MaxText {
		return Token{}, fmt.Errorf("%w: %d characters, limit is %d", ErrMalformed, len(text), MaxText)
	}
	text = strings.TrimRight(text, " \t\r\n")
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return Token{}, fmt.Errorf("%w: it does not start with %q", ErrMalformed, Prefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return Token{}, fmt.Errorf("%w: it is not complete or was changed", ErrMalformed)
	}
	t, err := decode(raw)
	if err != nil {
		return Token{}, err
	}
	again, err := t.Format()
	if err != nil {
		return Token{}, err
	}
	// This catches line breaks inside the text, which base64 skips.
	if again != text {
		return Token{}, fmt.Errorf("%w: it is not written as a token is", ErrMalformed)
	}
	return t, nil
}

// decode reads the CBOR of a token.
func decode(raw []byte) (Token, error) {
	var b body
	if err := strictcbor.Unmarshal(raw, &b); err != nil {
		return Token{}, fmt.Errorf("%w: it is not complete, was changed, or is of a later version", ErrMalformed)
	}
	key, err := payloadKey(b.PayloadKey)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	t := Token{
		ID: b.ID, Secret: b.Secret, Expires: time.Unix(int64(b.Expires), 0).UTC(),
		CAPin: b.CAPin, Registrar: b.Registrar, Verifier: b.Verifier, PayloadKey: key,
	}
	if len(b.RevocationKey) > 0 {
		k, err := notice.ParseKey(b.RevocationKey)
		if err != nil {
			return Token{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		t.RevocationKey = k
	}
	return t, nil
}

func (t Token) check() error {
	if !wire.ValidTokenID(t.ID) {
		return fmt.Errorf("%w: id %q", ErrMalformed, t.ID)
	}
	if s := t.Expires.Unix(); s < 0 || s > maxExpiry {
		return fmt.Errorf("%w: expiry %d", ErrMalformed, s)
	}
	if err := t.Registrar.check(); err != nil {
		return fmt.Errorf("%w: registrar: %w", ErrMalformed, err)
	}
	if err := t.Verifier.check(); err != nil {
		return fmt.Errorf("%w: verifier: %w", ErrMalformed, err)
	}
	if err := t.PayloadKey.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
