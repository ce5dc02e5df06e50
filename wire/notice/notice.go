// Package notice is what the verifier tells agents about other machines: a signed
// statement that the trust of one changed.
//
// # Format
//
// A notice is a tagged COSE_Sign1 (RFC 9052, section 4.2) in deterministic encoding
// (RFC 8949, section 4.2.1):
//
//	18([protected, {}, payload, signature])
//
//	protected = << {1: -7, 4: kid, 16: "application/x-quicklime-notice+cbor"} >>
//	            ; alg ES256; kid: SHA-256 of the key as a compressed point; typ (RFC 9596)
//	payload   = << {
//	              1:  uint,           ; sequence number, from 1, without gaps
//	              2:  uint,           ; issued, seconds since 1970 UTC
//	              3:  uint,           ; expires, likewise
//	              4:  bstr .size 16,  ; id of the event
//	              5:  tstr,           ; kind: "lost" / "regained" / "stale" / "raised" / "removed"
//	              6:  bstr .size 32,  ; agent id of the machine that it is about
//	              7:  tstr,           ; its label
//	              8:  bstr,           ; its epoch: 32 bytes, or none
//	              9:  tstr,           ; trust, as it was told before
//	              10: tstr,           ; trust now
//	              11: tstr,           ; id of the gravest failure, or none
//	              12: tstr,           ; severity label, or none
//	              13: uint,           ; when it happened, milliseconds since 1970 UTC
//	              14: uint,           ; 0; of a marker: how many notices it stands for
//	            } >>
//	signature = ECDSA on P-256 with SHA-256, by the revocation key
//
// with external_aad = << ["quicklime-notice/1"] >>. A marker has kind "dropped" and
// stands for the notices up to its sequence number that the verifier does not have
// any more; 4, 6, 8 are empty, 9 and 10 "removed".
//
// # What is checked
//
// Open checks the signature by the key that the join token pinned. Opened.Follow
// checks the rest, which needs to know where the receiver is: that the number is
// greater than that of the last notice it accepted, that the time is between issued
// and expires, and how many are missing in between (I28). The receiver keeps the
// number on disk before it acts.
//
// A notice is the same for all agents, and signed anew for each time that it may be
// valid: what an agent missed reaches it with its old number and a new expiry.
//
// # Another key
//
// A succession says that another key takes the place of the one that signs it. It
// travels as a notice does:
//
//	18([protected, {}, payload, signature])
//
//	protected = << {1: -7, 4: kid, 16: "application/x-quicklime-succession+cbor"} >>
//	payload   = << {
//	              1:  uint,           ; number, from 1, greater with each succession
//	              2:  bstr .size 33,  ; the key from now on, a compressed point
//	              3:  uint,           ; when, seconds since 1970 UTC
//	            } >>
//	signature = ECDSA on P-256 with SHA-256, by the key until now
//
// with external_aad = << ["quicklime-succession/1"] >>. It does not expire: a machine
// that was away takes one after the other when it returns, from the key that it has to
// the newest. Pin.Follow takes one that its key signed and that has a greater number
// than the last, and from then on nothing under the key before. The receiver keeps key
// and number on disk before it goes by them.
//
// The package is pure: plain data in, plain data out; time comes in as an argument.
package notice

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
)

// Dropped is the kind of a marker.
const Dropped wire.EventKind = "dropped"

// form is what keeps one kind of statement of the key from being taken for another.
type form struct{ mediaType, context string }

var (
	noticeForm     = form{"application/x-quicklime-notice+cbor", "quicklime-notice/1"}
	successionForm = form{"application/x-quicklime-succession+cbor", "quicklime-succession/1"}
)

// ErrInvalid says that bytes are no notice, or not by the pinned key.
var ErrInvalid = errors.New("invalid notice")

// Notice is what a notice says.
type Notice struct {
	Sequence uint64
	Issued   time.Time // whole seconds
	Expires  time.Time // whole seconds
	ID       string    // of the event; 32 hexadecimal digits
	Kind     wire.EventKind
	Subject  string // agent id
	Label    string
	Epoch    string // hexadecimal; empty: none
	Was      wire.Trust
	Trust    wire.Trust
	Failure  wire.FailureID
	Severity string
	At       time.Time // whole milliseconds
	Dropped  uint64    // of a marker
}

// body is a Notice as CBOR.
type body struct {
	Sequence uint64         `cbor:"1,keyasint"`
	Issued   uint64         `cbor:"2,keyasint"`
	Expires  uint64         `cbor:"3,keyasint"`
	ID       []byte         `cbor:"4,keyasint"`
	Kind     wire.EventKind `cbor:"5,keyasint"`
	Subject  []byte         `cbor:"6,keyasint"`
	Label    string         `cbor:"7,keyasint"`
	Epoch    []byte         `cbor:"8,keyasint"`
	Was      wire.Trust     `cbor:"9,keyasint"`
	Trust    wire.Trust     `cbor:"10,keyasint"`
	Failure  wire.FailureID `cbor:"11,keyasint"`
	Severity string         `cbor:"12,keyasint"`
	At       uint64         `cbor:"13,keyasint"`
	Dropped  uint64         `cbor:"14,keyasint"`
}

// maxSeconds is the last second of the year 9999, the end of what RFC 3339 can write.
const maxSeconds = 253402300799

func (b body) check() error {
	marker := b.Kind == Dropped
	sizes := len(b.ID) == 16 && len(b.Subject) == 32 && (len(b.Epoch) == 0 || len(b.Epoch) == 32) && b.Dropped == 0
	if marker {
		sizes = len(b.ID) == 0 && len(b.Subject) == 0 && len(b.Epoch) == 0 && b.Dropped > 0 && b.Dropped <= b.Sequence
	}
	switch {
	case !marker && !b.Kind.Known():
		return fmt.Errorf("kind %q", b.Kind)
	case b.Sequence == 0:
		return errors.New("sequence number 0")
	case b.Issued > b.Expires || b.Expires > maxSeconds || b.At > 1000*maxSeconds:
		return errors.New("times")
	case !sizes:
		return fmt.Errorf("id of %d, subject of %d, epoch of %d bytes, %d dropped, kind %q", len(b.ID), len(b.Subject), len(b.Epoch), b.Dropped, b.Kind)
	case !wire.Printable(b.Label, wire.MaxLabel), !wire.Printable(string(b.Failure), wire.MaxLabel), !wire.Printable(b.Severity, wire.MaxLabel):
		return errors.New("label, failure or severity is not printable, or too long")
	case !b.Was.Tellable() || !b.Trust.Tellable():
		return fmt.Errorf("trust %q, was %q", b.Trust, b.Was)
	}
	return nil
}

func (n Notice) encode() ([]byte, error) {
	id, err1 := hex.DecodeString(n.ID)
	subject, err2 := hex.DecodeString(n.Subject)
	epoch, err3 := hex.DecodeString(n.Epoch)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	b := body{
		Sequence: n.Sequence, Issued: uint64(n.Issued.Unix()), Expires: uint64(n.Expires.Unix()), ID: id, Kind: n.Kind, Subject: subject, Label: n.Label,
		Epoch: epoch, Was: n.Was, Trust: n.Trust, Failure: n.Failure, Severity: n.Severity, At: uint64(n.At.UnixMilli()), Dropped: n.Dropped,
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return strictcbor.Marshal(b)
}

func decode(payload []byte) (Notice, error) {
	var b body
	if err := strictcbor.Unmarshal(payload, &b); err != nil {
		return Notice{}, fmt.Errorf("payload: %w", err)
	}
	if err := b.check(); err != nil {
		return Notice{}, fmt.Errorf("payload: %w", err)
	}
	return Notice{
		Sequence: b.Sequence, Issued: time.Unix(int64(b.Issued), 0).UTC(), Expires: time.Unix(int64(b.Expires), 0).UTC(), ID: hex.EncodeToString(b.ID),
		Kind: b.Kind, Subject: hex.EncodeToString(b.Subject), Label: b.Label, Epoch: hex.EncodeToString(b.Epoch), Was: b.Was, Trust: b.Trust,
		Failure: b.Failure, Severity: b.Severity, At: time.UnixMilli(int64(b.At)).UTC(), Dropped: b.Dropped,
	}, nil
}
