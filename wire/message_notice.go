package wire

// Notice carries what the verifier tells agents of another machine.
type Notice struct {
	Envelope []byte `cbor:"1,keyasint"` // COSE_Sign1, see quicklime/wire/notice
}

// Noticed says up to where an agent has accepted notices. The first of a session
// asks for those that follow.
type Noticed struct {
	Last    uint64 `cbor:"1,keyasint"` // sequence number; 0: none yet
	Missing uint64 `cbor:"2,keyasint"` // how many were missing before it, of which nobody said that they were dropped
}

// Type implements Message.
func (Notice) Type() Type { return TypeNotice }

// Type implements Message.
func (Noticed) Type() Type { return TypeNoticed }

// Check implements Message.
func (m Notice) Check() error {
	return check("notice", rule{between(m.Envelope, 1, MaxNotice), "envelope"})
}

// Check implements Message.
func (m Noticed) Check() error { return check("noticed", rule{m.Missing <= m.Last, "missing"}) }
