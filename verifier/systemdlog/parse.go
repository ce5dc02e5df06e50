package systemdlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"quicklime/wire/pcr"
	"quicklime/wire/strictjson"
)

// separator begins a record, and a line feed ends it (RFC 7464, section 2.2).
const separator = 0x1e

// Parse reads a log of at most MaxLog bytes; an empty one has no record. An error is
// ErrMalformed and says the number of the record and its offset in bytes. A log that is
// cut inside a record is an error: systemd holds a lock while it writes.
func Parse(b []byte) (Log, error) {
	if len(b) > MaxLog {
		return Log{}, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrMalformed, len(b), MaxLog)
	}
	var l Log
	for at, number := 0, 0; at < len(b); number++ {
		r := Record{number: number, offset: at}
		end := bytes.IndexByte(b[at:], '\n')
		if err := r.read(b[at:], end); err != nil {
			return Log{}, fmt.Errorf("record %d at byte %d: %w", number, at, err)
		}
		if r.digests != nil {
			l.records = append(l.records, r)
		}
		at += end + 1
	}
	return l, nil
}

// read reads the record that b begins with, whose line feed is at end.
func (r *Record) read(b []byte, end int) error {
	switch {
	case r.number == MaxRecords:
		return fmt.Errorf("%w: it has more than %d records", ErrMalformed, MaxRecords)
	case b[0] != separator:
		return fmt.Errorf("%w: it begins with byte %#02x, want %#02x", ErrMalformed, b[0], separator)
	case end < 0:
		return fmt.Errorf("%w: it ends inside the record", ErrMalformed)
	case end > maxRecord:
		return fmt.Errorf("%w: a record of %d bytes, the limit is %d", ErrMalformed, end, maxRecord)
	}
	text := b[1:end]
	if strictjson.Repaired(text) {
		return fmt.Errorf("%w: half a character, or bytes that are not UTF-8", ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the closing brace", ErrMalformed)
	}
	return r.fill(v)
}

// object are the members of a JSON object.
type object map[string]any

// value reads a value: an object, []any, or a token.
func value(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, malformed(err)
	}
	opens, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == maxDepth:
		return nil, fmt.Errorf("%w: more than %d levels deep", ErrMalformed, maxDepth)
	case opens == '{':
		return members(d, depth)
	}
	var all []any
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, closing(d)
}

func members(d *json.Decoder, depth int) (object, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, malformed(err)
		}
		name := token.(string) // the decoder lets nothing else be a name
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("%w: the name %q is there twice", ErrMalformed, name)
		}
		if o[name], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	return o, closing(d)
}

// closing reads a closing delimiter; the decoder insists on the right one.
func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return malformed(err)
	}
	return nil
}

// malformed says that a text is no JSON.
func malformed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends inside a value", ErrMalformed)
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// fill reads a record's members. What it has beside those of the format is passed over.
func (r *Record) fill(v any) error {
	o, ok := v.(object)
	if !ok {
		return fmt.Errorf("%w: a record is an object", ErrMalformed)
	}
	if _, nv := o["nv_index"]; nv && o["pcr"] == nil {
		return nil
	}
	n, _ := o["pcr"].(json.Number)
	index, err := n.Int64()
	if err != nil || index < 0 || index >= pcr.Count {
		return fmt.Errorf("%w: there is no PCR %q", ErrMalformed, n)
	}
	r.pcr = int(index)
	if err := r.readDigests(o["digests"]); err != nil {
		return err
	}
	if o["content_type"] != "systemd" {
		return nil
	}
	content, _ := o["content"].(object)
	r.text, _ = content["string"].(string)
	r.kind, _ = content["eventType"].(string)
	return nil
}

// readDigests reads the digests, of which each bank has one. Those of a bank that is not
// known are passed over.
func (r *Record) readDigests(v any) error {
	all, _ := v.([]any)
	if len(all) == 0 || len(all) > maxDigests {
		return fmt.Errorf("%w: %d digests, want 1 to %d", ErrMalformed, len(all), maxDigests)
	}
	r.digests = map[pcr.Bank][]byte{}
	for _, each := range all {
		o, _ := each.(object)
		name, _ := o["hashAlg"].(string)
		text, ok := o["digest"].(string)
		if name == "" || !ok {
			return fmt.Errorf("%w: a digest has hashAlg and digest", ErrMalformed)
		}
		bank, err := pcr.ParseBank(name)
		if err != nil {
			continue
		}
		digest, err := hex.DecodeString(text)
		if err != nil || len(digest) != bank.Size() || r.digests[bank] != nil {
			return fmt.Errorf("%w: digest %.64q of bank %v, which has one of %d bytes", ErrMalformed, text, bank, bank.Size())
		}
		r.digests[bank] = digest
	}
	return nil
}
