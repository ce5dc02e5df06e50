package systemdlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
	var err error
	v := strictjson.Read(b[1:end], strictjson.Limits{Bytes: maxRecord, Values: maxRecord, Depth: maxDepth, Less: "no record of systemd's is so"},
		func(at *strictjson.Value, text string) {
			if err == nil {
				err = fmt.Errorf("%w: %s %s", ErrMalformed, at.Place(), text)
			}
		})
	if err != nil {
		return err
	}
	return r.fill(v)
}

// fill reads a record's members. What it has beside those of the format is passed over.
func (r *Record) fill(v *strictjson.Value) error {
	if v.Token != json.Delim('{') {
		return fmt.Errorf("%w: %s, want an object", ErrMalformed, v.Kind())
	}
	if v.Has("nv_index") && !v.Has("pcr") {
		return nil
	}
	var n json.Number
	if m := v.Member("pcr"); m != nil {
		n, _ = m.Token.(json.Number)
	}
	index, err := n.Int64()
	if err != nil || index < 0 || index >= pcr.Count {
		return fmt.Errorf("%w: there is no PCR %q", ErrMalformed, n)
	}
	r.pcr = int(index)
	if err := r.readDigests(v.Member("digests")); err != nil {
		return err
	}
	if by, _ := v.Member("content_type").Str(); by != "systemd" {
		return nil
	}
	content := v.Member("content")
	r.text, _ = content.Member("string").Str()
	r.kind, _ = content.Member("eventType").Str()
	return nil
}

// readDigests reads the digests, of which each bank has one. Those of a bank that is not
// known are passed over.
func (r *Record) readDigests(v *strictjson.Value) error {
	if v == nil || len(v.Elements) == 0 || len(v.Elements) > maxDigests {
		return fmt.Errorf("%w: digests are to be 1 to %d", ErrMalformed, maxDigests)
	}
	r.digests = map[pcr.Bank][]byte{}
	for _, each := range v.Elements {
		name, _ := each.Member("hashAlg").Str()
		text, ok := each.Member("digest").Str()
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
