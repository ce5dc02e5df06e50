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

	"quicklime/verifier/policy"
)

// Envelope is a signed policy as it came: everything in it is a claim.
type Envelope struct {
	of         Type
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

// Parse reads an envelope with a payload of the given type and checks no signature. The error says where the
// envelope is malformed: line and column, both from 1 and the column in bytes, and
// the place, such as signatures[0].sig.
func Parse(of Type, text []byte) (*Envelope, error) {
	e, err := parse(of, text)
	if err != nil {
		return nil, fmt.Errorf("not a signed policy: %w", err)
	}
	return e, nil
}

func parse(of Type, text []byte) (*Envelope, error) {
	if len(text) > MaxEnvelope {
		return nil, fmt.Errorf("%d bytes, the limit is %d, for a policy of %d: give groups of machines policies of their own", len(text), MaxEnvelope, policy.MaxPolicy)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	r := reader{of: of, tokens: json.NewDecoder(bytes.NewReader(text))}
	r.tokens.UseNumber() // what an unknown member holds is not ours to refuse
	e, err := r.envelope()
	if err != nil {
		return nil, r.located(text, err)
	}
	return e, nil
}

// reader walks the JSON text of one envelope, to its end or to the first mistake.
type reader struct {
	of     Type // what the payload has to be
	tokens *json.Decoder
	at     []string // the steps to what is being read, such as ".sig" and "[0]"
}

// located says where in the text an error is, and at what place.
func (r *reader) located(text []byte, err error) error {
	before := text[:r.tokens.InputOffset()]
	line, column := 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
	place := strings.TrimPrefix(strings.Join(r.at, ""), ".")
	if place != "" {
		place += ": "
	}
	return fmt.Errorf("line %d, column %d: %s%w", line, column, place, err)
}

func (r *reader) envelope() (*Envelope, error) {
	e := &Envelope{of: r.of}
	if err := r.object([]string{"payload", "payloadType", "signatures"}, func(name string) error { return r.member(e, name) }); err != nil {
		return nil, err
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the closing brace: take it out")
	}
	return e, nil
}

// within reads what is one step further in.
func (r *reader) within(step string, read func() error) error {
	r.at = append(r.at, step)
	err := read()
	if err == nil {
		r.at = r.at[:len(r.at)-1]
	}
	return err // with the place left as it is
}

// member reads the value of a member of the envelope.
func (r *reader) member(e *Envelope, name string) (err error) {
	switch name {
	case "payload":
		e.payload, err = r.bytes()
	case "payloadType":
		var s string
		if s, err = r.str(); err == nil && s != string(r.of) {
			err = r.anotherType(s)
		}
	case "signatures":
		e.signatures, err = r.signatures()
	default:
		err = r.skip()
	}
	return err
}

func (r *reader) anotherType(s string) error {
	if kind, known := kinds[Type(s)]; known {
		return fmt.Errorf("%s, which is %s; want %q, %s", quote(s), kind, r.of, kinds[r.of])
	}
	return fmt.Errorf("%s, want %q", quote(s), r.of)
}

func (r *reader) signatures() (all []signature, err error) {
	if err := r.open('[', "an array"); err != nil {
		return nil, err
	}
	for r.tokens.More() {
		if len(all) == MaxSignatures {
			return nil, fmt.Errorf("more than %d", MaxSignatures)
		}
		err := r.within(fmt.Sprintf("[%d]", len(all)), func() error {
			s, err := r.signature()
			all = append(all, s)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is none: sign the policy")
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
			return fmt.Errorf("%s is there twice: two readers may take two different values; leave one of them", quote(name))
		}
		if seen[name] = true; len(seen) > MaxMembers {
			return fmt.Errorf("more than %d members", MaxMembers)
		}
		if err := r.within(step(name), func() error { return member(name) }); err != nil {
			return err
		}
	}
	for _, name := range required {
		if !seen[name] {
			return fmt.Errorf("%q is missing", name)
		}
	}
	return r.close()
}

// step is how a place names a member.
func step(name string) string {
	switch name {
	case "payload", "payloadType", "signatures", "keyid", "sig":
		return "." + name
	}
	return "[" + quote(name) + "]"
}

// bytes reads a string of base64.
func (r *reader) bytes() ([]byte, error) {
	s, err := r.str()
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return nil, errors.New("base64 with a line break: write it in one line")
	}
	e := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		e = base64.URLEncoding
	}
	b, err := e.Strict().DecodeString(s)
	if err != nil {
		err = fmt.Errorf("want base64 with padding: %w", err)
	}
	return b, err
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
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("the text ends inside a value: it is cut, or a bracket or quote is missing")
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
