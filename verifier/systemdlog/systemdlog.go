// Package systemdlog reads the log of what systemd measures while the system runs.
//
// # Format
//
// The log (/run/log/systemd/tpm2-measure.log; systemd-pcrphase.service(8), "Files") is a
// sequence of JSON texts (RFC 7464), each between U+001E and a line feed, in the form
// of the TCG Canonical Event Log Format ("CEL-JSON") without recnum:
//
//	{"pcr": index, "digests": [{"hashAlg": bank, "digest": hex}…],
//	 "content_type": "systemd",
//	 "content": {"string": text, "bootId": …, "timestamp": …, "eventType": kind, …}}
//
// eventType (systemd: src/shared/tpm2-util.c, tpm2_userspace_event_type_table) is
// phase, of systemd-pcrphase; machine-id, of systemd-pcrmachine; filesystem, of
// systemd-pcrfs; volume-key, of systemd-cryptsetup; and more in later versions. Of
// another content_type only pcr and digests are read. Records of NV indexes, which have
// nv_index in place of pcr, extend no PCR and are passed over.
//
// # What is believed
//
// Nothing: who is root writes the file. A [Log] is good for a replay, which tells
// whether its records were extended; eventlog.Log.With does that. What a record says
// of itself is covered by its digest only where that was recomputed from the text,
// which systemd measures without a NUL (systemd: docs/TPM2_PCR_MEASUREMENTS.md): see
// [Record.Text]. The digest of a volume key is an HMAC whose key is the volume's, so
// its text is never covered.
package systemdlog

import (
	"bytes"
	"errors"

	"quicklime/wire/pcr"
)

// ErrMalformed says that the bytes are no such log.
var ErrMalformed = errors.New("malformed log of systemd")

// Log is a parsed log. The zero Log has no record.
type Log struct{ records []Record }

// Records returns the measurements of PCRs, in the order of the log. Do not write to
// them.
func (l Log) Records() []Record { return l.records }

// Record is one measurement.
type Record struct {
	number, offset int
	pcr            int
	digests        map[pcr.Bank][]byte
	text           string
	kind           string
}

// Number is the record's place in the log, from 0.
func (r Record) Number() int { return r.number }

// Offset is where it begins in the log, in bytes.
func (r Record) Offset() int { return r.offset }

// PCR is the index of the PCR that it says it extended.
func (r Record) PCR() int { return r.pcr }

// Digest is what it extended the PCR with in a bank; nil: the record does not say.
func (r Record) Digest(b pcr.Bank) []byte { return r.digests[b] }

// Claim is what the record says was measured, which whoever wrote the log could write
// as they liked, and of what kind it says that is; empty: nothing.
func (r Record) Claim() (text, kind string) { return r.text, r.kind }

// Text is what the digest of the bank was recomputed from, or false.
func (r Record) Text(b pcr.Bank) (string, bool) {
	if r.text == "" || !b.Known() || !bytes.Equal(b.Sum([]byte(r.text)), r.digests[b]) {
		return "", false
	}
	return r.text, true
}
