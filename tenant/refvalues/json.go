package refvalues

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"quicklime/verifier/policy"
	"quicklime/wire/strictjson"
)

// checkJSON refuses a JSON text that readers may take for different ones: decoding
// it settles in silence a name that is there twice and half a character.
func (c *converter) checkJSON() bool {
	if !utf8.Valid(c.in.Text) {
		c.problem(c.in.Name, "it is not UTF-8")
		return false
	}
	w := walker{converter: c, tokens: json.NewDecoder(bytes.NewReader(c.in.Text))}
	w.tokens.UseNumber()
	err := w.value(0)
	if err == nil {
		if _, err = w.tokens.Token(); err == nil {
			err = errors.New("something follows the closing brace")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		c.problem(w.place(), "not JSON: %v", err)
	}
	return len(c.problems.Problems) == 0
}

// walker looks at each token of a JSON text.
type walker struct {
	*converter
	tokens  *json.Decoder
	members int
}

func (w *walker) place() string {
	return fmt.Sprintf("%s:%d", w.in.Name, 1+bytes.Count(w.in.Text[:w.tokens.InputOffset()], []byte("\n")))
}

// value reads a value that is so many levels deep.
func (w *walker) value(depth int) error {
	if depth > policy.MaxDepth {
		return fmt.Errorf("more than %d levels deep", policy.MaxDepth)
	}
	t, err := w.token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		return w.object(depth)
	case json.Delim('['):
		for w.tokens.More() {
			if err := w.value(depth + 1); err != nil {
				return err
			}
		}
		_, err = w.token()
	}
	return err
}

func (w *walker) object(depth int) error {
	seen := make(map[string]bool)
	for w.tokens.More() {
		t, err := w.token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder lets nothing else be a name
		if seen[name] {
			w.problem(w.place(), "%s is there twice", quote(name))
		}
		seen[name] = true
		if w.members++; w.members > policy.MaxMembers {
			return fmt.Errorf("more than %d members in all objects together", policy.MaxMembers)
		}
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
	_, err := w.token()
	return err
}

func (w *walker) token() (json.Token, error) {
	start := w.tokens.InputOffset()
	t, err := w.tokens.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the text ends inside a value")
	}
	if s, ok := t.(string); ok && strictjson.Halved(w.in.Text[start:w.tokens.InputOffset()]) {
		w.problem(w.place(), "%s: an escape \\ud800 to \\udfff stands for a byte that is not UTF-8, which no policy can hold: leave the file out, and exclude it", quote(s))
	}
	return t, err
}
