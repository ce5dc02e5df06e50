package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"quicklime/wire/strictcbor"
)

// headerSize is the length of a frame's header: type u8 | length u32.
const headerSize = 5

// AppendFrame appends m as a frame. It refuses a message that its receiver
// would refuse.
func AppendFrame(b []byte, m Message) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	body, err := strictcbor.Marshal(m)
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
	case TypeOffers:
		return decodeAs[Offers](body)
	case TypeFetch:
		return decodeAs[Fetch](body)
	case TypeChunk:
		return decodeAs[Chunk](body)
	case TypeAsk:
		return decodeAs[Ask](body)
	case TypeRelease:
		return decodeAs[Release](body)
	case TypeReceipt:
		return decodeAs[Receipt](body)
	case TypeRefusal:
		return decodeAs[PayloadRefusal](body)
	case TypeNotice:
		return decodeAs[Notice](body)
	case TypeNoticed:
		return decodeAs[Noticed](body)
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

// decodeAs reads b as an M.
func decodeAs[M Message](b []byte) (Message, error) {
	var m M
	if err := strictcbor.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}
