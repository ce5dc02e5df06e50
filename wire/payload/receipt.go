package payload

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"
	"unicode/utf8"

	"quicklime/wire"
	"quicklime/wire/strictcbor"
)

// State is what became of a payload on the machine.
type State string

// The states.
const (
	Stored    State = "stored"    // opened, and in its directory
	Failed    State = "failed"    // opened, and could not be put into its directory
	Withdrawn State = "withdrawn" // wiped
)

func (s State) known() bool { return s == Stored || s == Failed || s == Withdrawn }

// Outcome is what a receipt says.
type Outcome struct {
	Manifest [sha256.Size]byte `cbor:"1,keyasint"` // Signed.Digest
	Name     string            `cbor:"2,keyasint"`
	Version  uint64            `cbor:"3,keyasint"`
	State    State             `cbor:"4,keyasint"`
	At       uint64            `cbor:"5,keyasint"`           // by the machine's clock, seconds since 1970 UTC
	Files    uint64            `cbor:"6,keyasint"`           // in its directory
	Reason   string            `cbor:"7,keyasint"`           // why it failed or was withdrawn
	Run      *Run              `cbor:"8,keyasint,omitempty"` // what became of the program in it that was run; nil: none was, yet
}

// Run is what became of a program.
type Run struct {
	Exit   int64  `cbor:"1,keyasint"` // exit code; -1: killed, by a signal or at its time limit
	At     uint64 `cbor:"2,keyasint"` // when it ended, as Outcome.At
	Output []byte `cbor:"3,keyasint"` // the end of what it wrote, at most MaxOutput
	Cut    bool   `cbor:"4,keyasint"` // it wrote more
}

// Time is when it was, by the machine's clock.
func (o Outcome) Time() time.Time { return time.Unix(int64(o.At), 0).UTC() }

// Check refuses an outcome whose fields are outside their bounds.
func (o Outcome) Check() error {
	switch {
	case !wire.ValidName(o.Name):
		return fmt.Errorf("%w: receipt: name %q", ErrInvalid, o.Name)
	case o.Version == 0 || o.Version > MaxVersion:
		return fmt.Errorf("%w: receipt: version %d", ErrInvalid, o.Version)
	case !o.State.known():
		return fmt.Errorf("%w: receipt: state %q", ErrInvalid, o.State)
	case o.At > maxTime || o.Run != nil && o.Run.At > maxTime:
		return fmt.Errorf("%w: receipt: time", ErrInvalid)
	case !utf8.ValidString(o.Reason) || len(o.Reason) > MaxReason:
		return fmt.Errorf("%w: receipt: reason", ErrInvalid)
	case o.Run != nil && len(o.Run.Output) > MaxOutput:
		return fmt.Errorf("%w: receipt: %d bytes of output", ErrInvalid, len(o.Run.Output))
	}
	return nil
}

// receipt is an encoded outcome and its authentication code.
type receipt struct {
	_       struct{} `cbor:",toarray"`
	Outcome []byte
	MAC     [sha256.Size]byte
}

// Receipt returns the receipt of an outcome.
func (k ReceiptKey) Receipt(o Outcome) ([]byte, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	b, err := strictcbor.Marshal(o)
	if err != nil {
		return nil, err
	}
	return strictcbor.Marshal(receipt{Outcome: b, MAC: k.mac(b)})
}

func (k ReceiptKey) mac(outcome []byte) (mac [sha256.Size]byte) {
	h := hmac.New(sha256.New, k[:])
	h.Write(outcome)
	h.Sum(mac[:0])
	return mac
}

// Verify returns what a receipt says, if whoever opened the payload made it.
func (k ReceiptKey) Verify(b []byte) (Outcome, error) {
	r, err := parseReceipt(b)
	if err != nil {
		return Outcome{}, err
	}
	if want := k.mac(r.Outcome); !hmac.Equal(want[:], r.MAC[:]) {
		return Outcome{}, fmt.Errorf("%w: the receipt is by nobody who opened this version of the payload", ErrInvalid)
	}
	return r.outcome()
}

// ReadReceipt returns what a receipt says without knowing who made it: for whoever
// only carries it.
func ReadReceipt(b []byte) (Outcome, error) {
	r, err := parseReceipt(b)
	if err != nil {
		return Outcome{}, err
	}
	return r.outcome()
}

func parseReceipt(b []byte) (r receipt, err error) {
	if len(b) > MaxReceipt {
		return r, fmt.Errorf("%w: a receipt of %d bytes, limit is %d", ErrInvalid, len(b), MaxReceipt)
	}
	if err := strictcbor.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: receipt: %w", ErrInvalid, err)
	}
	return r, nil
}

func (r receipt) outcome() (o Outcome, err error) {
	if err := strictcbor.Unmarshal(r.Outcome, &o); err != nil {
		return Outcome{}, fmt.Errorf("%w: receipt: %w", ErrInvalid, err)
	}
	if err := o.Check(); err != nil {
		return Outcome{}, err
	}
	return o, nil
}
