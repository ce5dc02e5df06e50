package notice

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/veraison/go-cose"

	"quicklime/wire"
)

// Opened is a notice that was opened: the pinned key signed it. Whether it is new is
// for Follow to say. Only Open fills one.
type Opened struct{ notice Notice }

// Notice returns what it says.
func (o Opened) Notice() Notice { return o.notice }

// First returns the first sequence number that it stands for: its own, if it is no
// marker.
func (o Opened) First() uint64 { return o.notice.Sequence - max(o.notice.Dropped, 1) + 1 }

// Open checks a notice against the pinned key. The error is ErrInvalid with the first
// thing that does not hold.
func Open(b []byte, k Key) (Opened, error) {
	n, err := open(b, k)
	if err != nil {
		return Opened{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Opened{n}, nil
}

func open(b []byte, k Key) (Notice, error) {
	payload, err := noticeForm.open(b, k)
	if err != nil {
		return Notice{}, err
	}
	return decode(payload)
}

// open returns the payload of what a key signed in this form.
func (f form) open(b []byte, k Key) ([]byte, error) {
	public := k.public()
	if public == nil {
		return nil, errors.New("no key is pinned")
	}
	m, err := f.parse(b, k)
	if err != nil {
		return nil, err
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, public)
	if err != nil {
		return nil, err
	}
	aad, err := f.externalAAD()
	if err != nil {
		return nil, err
	}
	if err := m.Verify(aad, verifier); err != nil {
		return nil, err
	}
	return m.Payload, nil
}

// parse reads a COSE_Sign1 and insists that it is the one encoding of its payload and
// signature under the one header that the key implies.
func (f form) parse(b []byte, k Key) (cose.Sign1Message, error) {
	m, err := read(b)
	if err != nil {
		return m, err
	}
	want := cose.Sign1Message{Headers: cose.Headers{Protected: f.protectedHeader(k)}, Payload: m.Payload, Signature: m.Signature}
	encoded, err := want.MarshalCBOR()
	if err != nil {
		return m, err
	}
	if !bytes.Equal(encoded, b) {
		return m, errors.New("not the deterministic encoding with exactly alg ES256, the pinned key's kid and typ " + f.mediaType)
	}
	return m, nil
}

func read(b []byte) (m cose.Sign1Message, err error) {
	if len(b) > wire.MaxNotice {
		return m, fmt.Errorf("%d bytes, limit is %d", len(b), wire.MaxNotice)
	}
	return m, m.UnmarshalCBOR(b)
}

var (
	// ErrReplayed says that a notice is not newer than the last that was accepted.
	ErrReplayed = errors.New("a notice that is not new")
	// ErrUntimely says that a notice has expired, or is not issued yet.
	ErrUntimely = errors.New("a notice outside its time")
)

// skew is how far the clocks of verifier and agent may be apart.
const skew = 5 * time.Minute

// Follow checks that a notice is newer than the last one that was accepted, whose
// sequence number is last (0: there was none), and that now is its time. It returns
// how many notices are missing between the two, of which nobody said that they were
// dropped.
func (o Opened) Follow(last uint64, now time.Time) (missing uint64, err error) {
	n := o.notice
	switch {
	case n.Sequence <= last:
		return 0, fmt.Errorf("%w: it has number %d, and %d was accepted", ErrReplayed, n.Sequence, last)
	case now.After(n.Expires.Add(skew)), now.Before(n.Issued.Add(-skew)):
		return 0, fmt.Errorf("%w: it is for %s to %s, and the clock says %s", ErrUntimely, n.Issued.Format(time.RFC3339), n.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case last == 0:
		return 0, nil // what was before the first is nothing to this machine
	}
	before := o.First() - 1 // the last one that it does not stand for
	if before <= last {
		return 0, nil
	}
	return before - last, nil
}
