package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// headerSize is the length of a frame's header: type u8 | length u32.
const headerSize = 5

// AppendFrame appends m as a frame. It refuses a message that its receiver
// would refuse.
func AppendFrame(b []byte, m Message) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	body, err := encMode.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(body) > MaxFrame {
		return nil, fmt.Errorf("%w: %T has %d bytes, limit is %d", ErrMalformed, m, len(body), MaxFrame)
	}
	b = append(b, byte(m.Type()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...), nil
}

// ReadFrame reads one frame. The error is io.EOF if r ends before it,
// ErrMalformed if the bytes are no message, else r's own.
func ReadFrame(r io.Reader) (Message, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > MaxFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes, limit is %d", ErrMalformed, n, MaxFrame)
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, err
	}
	if uint32(len(body)) != n {
		return nil, io.ErrUnexpectedEOF
	}
	return decode(Type(h[0]), body)
}

// decode reads the body of a frame of type t.
func decode(t Type, body []byte) (Message, error) {
	switch t {
	case TypeHello:
		return decodeAs[Hello](body)
	case TypeWelcome:
		return decodeAs[Welcome](body)
	case TypeEvidence:
		return decodeAs[Evidence](body)
	case TypeVerdict:
		return decodeAs[Verdict](body)
	case TypeChallenge:
		return decodeAs[Challenge](body)
	case TypeAlive:
		return decodeAs[Alive](body)
	case TypeRegister:
		return decodeAs[Register](body)
	case TypeCredential:
		return decodeAs[Credential](body)
	case TypeProof:
		return decodeAs[Proof](body)
	case TypeRegistered:
		return decodeAs[Registered](body)
	case TypeRefused:
		return decodeAs[Refused](body)
	}
	return nil, fmt.Errorf("%w: type 0x%02x", ErrMalformed, byte(t))
}

// decodeAs reads b as an M and insists that it is M's one encoding: a byte
// string that reads as a message but is not what its sender would write is
// somebody probing.
func decodeAs[M Message](b []byte) (Message, error) {
	var m M
	if err := decMode.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	again, err := encMode.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: %T is not in its deterministic encoding", ErrMalformed, m)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

var (
	// encMode is the core deterministic encoding (RFC 8949, section 4.2.1).
	// Nothing may be null: an absent byte string is an empty one.
	encMode = must(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.NilContainers = cbor.NilContainerAsEmpty
		return o.EncMode()
	}())

	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  128,
		MaxMapPairs:       16,
		UTF8:              cbor.UTF8RejectInvalid,
		IntDec:            cbor.IntDecConvertNone,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: this fails at the first start or never
	}
	return v
}
