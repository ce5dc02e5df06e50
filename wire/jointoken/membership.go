package jointoken

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"quicklime/wire"
	"quicklime/wire/notice"
)

// MaxMembership bounds an encoded Membership: seven short fields, written for people.
const MaxMembership = 4 << 10 // bytes

// Membership is what a machine keeps after it joined: everything of the token
// that is not the secret, and who it is. It holds nothing secret.
type Membership struct {
	ID        string // agent id, 64 lower-case hexadecimal digits
	TokenID   string // the token by which it joined
	CAPin     [32]byte
	Registrar Server
	Verifier  Server

	PayloadKey    PayloadKey // under which it opens payloads; none: it opens no payload
	RevocationKey notice.Key // the zero Key: none, and no notice is taken
}

// Membership returns what the machine with the agent id keeps of the token.
func (t Token) Membership(id string) Membership {
	return Membership{ID: id, TokenID: t.ID, CAPin: t.CAPin, Registrar: t.Registrar, Verifier: t.Verifier, PayloadKey: t.PayloadKey, RevocationKey: t.RevocationKey}
}

// membershipJSON is Membership as its file holds it. An administrator may read
// it, and change an address when a server moves.
type membershipJSON struct {
	ID        string `json:"id"`
	TokenID   string `json:"token_id"`
	CAPin     string `json:"ca_pin"` // hexadecimal
	Registrar Server `json:"registrar"`
	Verifier  Server `json:"verifier"`

	PayloadKey    string `json:"payload_key,omitempty"`    // hexadecimal
	RevocationKey string `json:"revocation_key,omitempty"` // hexadecimal
}

// Encode returns the membership as indented JSON with a line break at its end:
//
//	{"id": …, "token_id": …, "ca_pin": hexadecimal, "registrar": {"address": …, "server_name": …}, "verifier": {…},
//	 "payload_key": hexadecimal, "revocation_key": hexadecimal, if there are any}
//
// It refuses what ParseMembership would refuse.
func (m Membership) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	j := membershipJSON{ID: m.ID, TokenID: m.TokenID, CAPin: hex.EncodeToString(m.CAPin[:]), Registrar: m.Registrar, Verifier: m.Verifier, PayloadKey: hex.EncodeToString(m.PayloadKey.bytes())}
	if m.RevocationKey != (notice.Key{}) {
		j.RevocationKey = hex.EncodeToString(m.RevocationKey[:])
	}
	b, err := json.MarshalIndent(j, "", "  ")
	return append(b, '\n'), err
}

// ParseMembership reads what Encode wrote, or an administrator changed. An
// unknown member and a second value are errors, as is anything outside a token's
// bounds.
func ParseMembership(b []byte) (Membership, error) {
	if len(b) > MaxMembership {
		return Membership{}, fmt.Errorf("membership: %d bytes, limit is %d", len(b), MaxMembership)
	}
	var j membershipJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return Membership{}, fmt.Errorf("membership: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Membership{}, errors.New("membership: more than one JSON value")
	}
	m := Membership{ID: j.ID, TokenID: j.TokenID, Registrar: j.Registrar, Verifier: j.Verifier}
	pin, err := hex.DecodeString(j.CAPin)
	if err != nil || len(pin) != len(m.CAPin) {
		return Membership{}, errors.New("membership: ca_pin is not 64 hexadecimal digits")
	}
	copy(m.CAPin[:], pin)
	point, err := hex.DecodeString(j.PayloadKey)
	if err != nil {
		return Membership{}, errors.New("membership: payload_key is not hexadecimal")
	}
	if m.PayloadKey, err = payloadKey(point); err != nil {
		return Membership{}, fmt.Errorf("membership: %w", err)
	}
	if j.RevocationKey != "" {
		key, err := hex.DecodeString(j.RevocationKey)
		if err == nil {
			m.RevocationKey, err = notice.ParseKey(key)
		}
		if err != nil {
			return Membership{}, fmt.Errorf("membership: revocation_key is not 66 hexadecimal digits of a key: %w", err)
		}
	}
	if err := m.check(); err != nil {
		return Membership{}, err
	}
	return m, nil
}

func (m Membership) check() error {
	if !wire.ValidID(m.ID) {
		return fmt.Errorf("membership: agent id %q", m.ID)
	}
	if !wire.ValidTokenID(m.TokenID) {
		return fmt.Errorf("membership: token id %q", m.TokenID)
	}
	if err := m.Registrar.check(); err != nil {
		return fmt.Errorf("membership: registrar: %w", err)
	}
	if err := m.Verifier.check(); err != nil {
		return fmt.Errorf("membership: verifier: %w", err)
	}
	if err := m.PayloadKey.check(); err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	return nil
}
