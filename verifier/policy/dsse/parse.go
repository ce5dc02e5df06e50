package dsse

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Envelope is a signed policy as it came: everything in it is a claim.
type Envelope struct {
	payload    []byte
	signatures []signature
}

// signature is what somebody put beside a payload.
type signature struct {
	keyID string
	sig   []byte
}

// Unverified returns the policy's text, for which nobody has vouched: it is good
// for telling a person what is wrong with it, and not for use. It must not be
// changed.
func (e *Envelope) Unverified() []byte { return e.payload }

// Enveloped reports whether text means to be a signed policy and not a policy: its
// first member is one of an envelope.
func Enveloped(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	switch t, _ := d.Token(); t {
	case "payload", "payloadType", "signatures":
		return true
	}
	return false
}

// Parse reads an envelope and checks no signature. The error says where the
// envelope is malformed.
func Parse(text []byte) (*Envelope, error) {
	e, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("not a signed policy: %w", err)
	}
	return e, nil
}

func parse(text []byte) (*Envelope, error) {
	if len(text) > MaxEnvelope {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(text), MaxEnvelope)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	r := reader{json.NewDecoder(bytes.NewReader(text))}
	r.tokens.UseNumber() // what an unknown member holds is not ours to refuse
	e := new(Envelope)
	if err := r.object([]string{"payload", "payloadType", "signatures"}, func(name string) error { return r.member(e, name) }); err != nil {
		return nil, err
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the closing brace")
	}
	return e, nil
}

// reader walks the JSON text of one envelope.
type reader struct{ tokens *json.Decoder }

// member reads the value of a member of the envelope.
func (r *reader) member(e *Envelope, name string) (err error) {
	switch name {
	case "payload":
		e.payload, err = r.bytes()
	case "payloadType":
		var s string
		if s, err = r.str(); err == nil && s != PayloadType {
			err = fmt.Errorf("%s, want %q", quote(s), PayloadType)
		}
	case "signatures":
		e.signatures, err = r.signatures()
	default:
		err = r.skip()
	}
	return err
}

func (r *reader) signatures() (all []signature, err error) {
	if err := r.open('[', "an array"); err != nil {
		return nil, err
	}
	for r.tokens.More() {
		if len(all) == MaxSignatures {
			return nil, fmt.Errorf("more than %d", MaxSignatures)
		}
		s, err := r.signature()
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", len(all), err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, errors.New("there is none")
	}
	return all, r.close()
}

func (r *reader) signature() (s signature, err error) {
	err = r.object([]string{"sig"}, func(name string) (err error) {
		switch name {
		case "keyid":
			if s.keyID, err = r.str(); err == nil && len(s.keyID) > MaxKeyID {
				err = fmt.Errorf("%d bytes, the limit is %d", len(s.keyID), MaxKeyID)
			}
		case "sig":
			if s.sig, err = r.bytes(); err == nil && len(s.sig) > MaxSignature {
				err = fmt.Errorf("%d bytes, the limit is %d", len(s.sig), MaxSignature)
			}
		default:
			err = r.skip()
		}
		return err
	})
	return s, err
}

// object reads an object that has the required members, and calls member for each,
// which must read its value.
func (r *reader) object(required []string, member func(name string) error) error {
	if err := r.open('{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for r.tokens.More() {
		t, err := r.token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder lets nothing else be a name
		if seen[name] {
			return fmt.Errorf("%s is there twice: two readers may take two different values", quote(name))
		}
		if seen[name] = true; len(seen) > MaxMembers {
			return fmt.Errorf("more than %d members", MaxMembers)
		}
		if err := member(name); err != nil {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
	}
	for _, name := range required {
		if !seen[name] {
			return fmt.Errorf("%q is missing", name)
		}
	}
	return r.close()
}

// bytes reads a string of base64.
func (r *reader) bytes() ([]byte, error) {
	s, err := r.str()
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return nil, errors.New("base64 with a line break")
	}
	e := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		e = base64.URLEncoding
	}
	return e.Strict().DecodeString(s)
}

func (r *reader) str() (string, error) {
	t, err := r.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.New("want a string")
	}
	return s, nil
}

// skip reads a value that means nothing here.
func (r *reader) skip() error {
	for depth := 0; ; {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > MaxDepth {
				return fmt.Errorf("more than %d levels deep", MaxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// open reads an opening delimiter.
func (r *reader) open(delim json.Delim, want string) error {
	t, err := r.token()
	if err == nil && t != delim {
		err = fmt.Errorf("want %s", want)
	}
	return err
}

// close reads a closing delimiter; the decoder insists on the right one.
func (r *reader) close() error {
	_, err := r.token()
	return err
}

func (r *reader) token() (json.Token, error) {
	t, err := r.tokens.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the text ends inside a value")
	}
	return t, err
}

// quote returns s in quotes, printable and of bounded length.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "…"
}
