package tenant

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"quicklime/verifier/policy/dsse"
)

// trust names who may sign policies, as the operator does on a command line.
type trust struct {
	keys, cas []string // files
	at        string   // when certificates have to be valid; empty: now
}

// flags adds the options that name who is trusted.
func (t *trust) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&t.keys, "key", nil, "trust the public keys, or the certificates of signers, in `FILE`; repeatable")
	f.StringArrayVar(&t.cas, "ca", nil, "trust the CA certificates in `FILE`; repeatable")
	f.StringVar(&t.at, "at", "", "certificates have to be valid at `TIME`, such as 2026-11-27 or 2026-11-27T12:00:00Z, not now")
}

// helpTrust says what commands that take the options do with a signed policy.
const helpTrust = `A policy may be signed. --key and --ca name who is trusted: a policy that is signed by
nobody of them is then refused, and the answer names who signed. Without them the
answer says that the signature was not checked. A policy without a signature is taken
either way; "verify" refuses it.`

// checker checks signatures. A nil one checks none.
type checker struct {
	keys *dsse.Keys
	when time.Time
}

// checker reads whom t names, and is nil if that is nobody.
func (p *program) checker(c *cobra.Command, t trust) (*checker, error) {
	when, err := p.momentOf(t.at)
	switch {
	case err != nil:
		return nil, usage(c, "--at %q is no time such as 2026-11-27 or 2026-11-27T12:00:00Z", t.at)
	case len(t.keys)+len(t.cas) == 0 && t.at != "":
		return nil, usage(c, "--at without --key or --ca: name who is trusted")
	case len(t.keys)+len(t.cas) == 0:
		return nil, nil
	}
	keys := new(dsse.Keys)
	for _, file := range append(t.keys[:len(t.keys):len(t.keys)], t.cas...) {
		pem, err := p.readFile(file, dsse.MaxKeyFile)
		if err != nil {
			return nil, err
		}
		if err := keys.Add(pem); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return &checker{keys, when}, nil
}

// momentOf reads a time that the operator named: a day, in UTC, or a second; empty is
// now.
func (p *program) momentOf(s string) (time.Time, error) {
	if s == "" {
		return p.now(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

// What can be known of a policy's signature.
const (
	unsigned   = "none"
	unchecked  = "not checked" // nobody was named who is trusted
	good       = "good"        // by one of those who were named
	byVerifier = "good at the verifier"
)

// signature is the JSON of what is known of who signed a policy.
type signature struct {
	State    string       `json:"state"`
	SignedBy []signedName `json:"signed_by,omitempty"` // of a good one, by whom
	Verified *time.Time   `json:"verified,omitempty"`  // at the verifier: when
}

// open takes a policy of the given kind out of the envelope that it may be in, and says what is known
// of its signature. An error is of an envelope that is malformed, or signed by
// nobody who is trusted.
func (k *checker) open(of dsse.Type, text []byte) ([]byte, signature, error) {
	if !dsse.Enveloped(text) {
		return text, signature{State: unsigned}, nil
	}
	e, err := dsse.Parse(of, text)
	if err != nil {
		return nil, signature{}, err
	}
	if k == nil {
		return e.Unverified(), signature{State: unchecked}, nil
	}
	v, err := k.keys.Verify(e, k.when)
	if err != nil {
		return nil, signature{}, err
	}
	return v.Payload(), signature{State: good, SignedBy: signedNames(v.Signers())}, nil
}

// writeSignature says what is known of a policy's signature, if it has one.
func (p *program) writeSignature(w io.Writer, title string, s signature) {
	if s.State == unsigned {
		return
	}
	for _, line := range s.lines(p) {
		fmt.Fprintf(w, "%s: %s\n", title, printable(line))
	}
}

// lines says for a person what is known of a signature, a line each.
func (s signature) lines(p *program) []string {
	switch s.State {
	case unsigned:
		return []string{"none"}
	case unchecked:
		return []string{"not checked: --key or --ca names who is trusted"}
	}
	lines := make([]string, len(s.SignedBy))
	for i, by := range s.SignedBy {
		lines[i] = "good, by " + dsse.Signer(by).String()
		if s.Verified != nil {
			lines[i] += ", as the verifier found " + p.moment(*s.Verified)
		}
	}
	return lines
}
