package wire

import "slices"

// Notice carries what the verifier tells agents of another machine, or that its key is
// another one from now on.
type Notice struct {
	Envelope []byte `cbor:"1,keyasint"` // COSE_Sign1, see quicklime/wire/notice
}

// Noticed says up to where an agent has accepted notices. The first of a session
// asks for those that follow.
type Noticed struct {
	Last    uint64        `cbor:"1,keyasint"`           // sequence number; 0: none yet
	Missing uint64        `cbor:"2,keyasint"`           // how many were missing before it, of which nobody said that they were dropped
	Key     string        `cbor:"3,keyasint,omitempty"` // id of the key under which it accepts notices, 64 hexadecimal digits; none: it does not say
	Refused NoticeRefusal `cbor:"4,keyasint,omitempty"` // why it does not accept the next one; "": it does
	Clock   uint64        `cbor:"5,keyasint,omitempty"` // with RefusedClock: what it has, seconds since 1970 UTC
}

// NoticeRefusal says why an agent does not accept a notice.
type NoticeRefusal string

// The reasons. One that was refused for its time, or could not be kept, is sent again.
const (
	RefusedClock   NoticeRefusal = "clock"   // it is not its time, by the agent's clock
	RefusedKey     NoticeRefusal = "key"     // the agent's key did not sign it
	RefusedStorage NoticeRefusal = "storage" // the agent cannot keep it
)

// Passing reports whether the reason may be gone later, so that the same notice is
// accepted then.
func (r NoticeRefusal) Passing() bool { return r == RefusedClock || r == RefusedStorage }

// Type implements Message.
func (Notice) Type() Type { return TypeNotice }

// Type implements Message.
func (Noticed) Type() Type { return TypeNoticed }

// Check implements Message.
func (m Notice) Check() error {
	return check("notice", rule{between(m.Envelope, 1, MaxNotice), "envelope"})
}

// Check implements Message.
func (m Noticed) Check() error {
	return check("noticed",
		rule{m.Missing <= m.Last, "missing"},
		rule{m.Key == "" || len(m.Key) == 64 && isHex(m.Key), "key"},
		rule{slices.Contains([]NoticeRefusal{"", RefusedClock, RefusedKey, RefusedStorage}, m.Refused), "reason"},
		rule{m.Clock <= maxClock && (m.Clock == 0 || m.Refused == RefusedClock), "clock"})
}

// maxClock is the last second of the year 9999.
const maxClock = 253402300799
