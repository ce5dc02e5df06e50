package pcrpolicy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"quicklime/verifier/policy"
	"quicklime/wire/pcr"
	"quicklime/wire/strictjson"
)

// Parse reads and compiles a tpm_policy. The error is a *policy.Error with every
// problem found.
func Parse(text []byte) (*Policy, error) {
	sum := sha256.Sum256(text)
	p := parser{Policy: &Policy{digest: hex.EncodeToString(sum[:])}, err: &policy.Error{}, seen: map[string]bool{}}
	p.document(text)
	if len(p.err.Problems) > 0 {
		return nil, p.err
	}
	return p.Policy, nil
}

type parser struct {
	*Policy
	tokens *json.Decoder
	err    *policy.Error
	seen   map[string]bool
}

func (p *parser) problem(place, format string, args ...any) {
	if len(p.err.Problems) == policy.MaxProblems {
		p.err.More++
		return
	}
	p.err.Problems = append(p.err.Problems, policy.Problem{Place: place, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) document(text []byte) {
	switch {
	case len(text) > MaxText:
		p.problem("", "the TPM policy has %d bytes, the limit is %d: give groups of machines policies of their own", len(text), MaxText)
		return
	case strictjson.Repaired(text):
		p.problem("", "it is not UTF-8, or has an escape for half a character: save it as UTF-8")
		return
	}
	p.tokens = json.NewDecoder(bytes.NewReader(text))
	p.tokens.UseNumber()
	if err := p.object(); err != nil {
		p.problem("", "not a JSON object of PCRs and values: %v", malformed(err))
		return
	}
	if _, err := p.tokens.Token(); !errors.Is(err, io.EOF) {
		p.problem("", "something follows the closing brace: take it out")
	}
	if p.PCRs() == 0 && len(p.err.Problems) == 0 {
		p.problem("", `it lists no PCR, so that nothing would be judged by it: list one, as in {"16": ["<hex>"]}`)
	}
}

func malformed(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends inside a value: it is cut, or a bracket or quote is missing"
	}
	return err.Error()
}

func (p *parser) object() error {
	t, err := p.tokens.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%s, want an object", strictjson.Kind(t))
	}
	for p.tokens.More() {
		t, err := p.tokens.Token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder lets nothing else be a name
		if p.seen[name] {
			p.problem(quoted(name), "the name is there twice: two readers may take two different values; leave one of them")
		}
		p.seen[name] = true
		var v any
		if err := p.tokens.Decode(&v); err != nil {
			return err
		}
		p.member(name, v)
	}
	_, err = p.tokens.Token()
	return err
}

func (p *parser) member(name string, v any) {
	if name == "mask" {
		p.mask(v)
		return
	}
	i, err := strconv.ParseUint(name, 10, 8)
	switch {
	case err != nil || i >= pcr.Count || strconv.Itoa(int(i)) != name:
		p.problem(quoted(name), "no PCR: want a number from 0 to %d, or mask", pcr.Count-1)
	case i == pcr.IMA:
		p.problem(quoted(name), "PCR %d is what the measurement list leads to, and has another value after each file: leave it to the runtime policy", i)
	default:
		p.list(int(i), name, v)
	}
}

func (p *parser) list(i int, name string, v any) {
	all, ok := v.([]any)
	if !ok {
		all = []any{v}
	}
	switch {
	case len(all) == 0:
		p.problem(quoted(name), "no value, so that the PCR would always fail: list one, or take the PCR out")
	case len(all) > MaxValues:
		p.problem(quoted(name), "%d values, the limit is %d: give groups of machines policies of their own", len(all), MaxValues)
		return
	}
	for n, e := range all {
		p.value(i, fmt.Sprintf("%s[%d]", quoted(name), n), e)
	}
}

func (p *parser) value(i int, place string, v any) {
	s, ok := v.(string)
	raw, err := hex.DecodeString(strings.TrimPrefix(strings.ToLower(s), "0x"))
	bank := bankOf(len(raw))
	if !ok || err != nil || bank == 0 {
		p.problem(place, "no value of a PCR: want hexadecimal digits of a SHA-1, SHA-256, SHA-384 or SHA-512 bank")
		return
	}
	p.values[i] = append(p.values[i], value{bank, string(raw)})
}

// bankOf returns the bank whose values have a size, or 0.
func bankOf(size int) pcr.Bank {
	at := slices.IndexFunc(pcr.Banks, func(b pcr.Bank) bool { return b.Size() == size })
	if at < 0 {
		return 0
	}
	return pcr.Banks[at]
}

func (p *parser) mask(v any) {
	s, ok := v.(string)
	digits, hexadecimal := strings.CutPrefix(strings.ToLower(s), "0x")
	m, err := strconv.ParseUint(digits, 16, 64)
	if !ok || !hexadecimal || err != nil || m>>pcr.Count != 0 {
		p.problem("mask", `want a text of the form "0x408000", of PCRs 0 to %d`, pcr.Count-1)
	}
}

// quoted returns s in quotes, printable and of bounded length.
func quoted(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}
