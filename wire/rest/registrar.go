package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Machine is a TPM that the registrar knows. Public areas are TPMT_PUBLIC in
// base64; whoever reads them derives key, Name and id itself (I01).
type Machine struct {
	ID            string    `json:"id"` // hex SHA-256 of the EK public area
	Label         string    `json:"label"`
	EKPublic      []byte    `json:"ek_public"`
	EKCertificate []byte    `json:"ek_certificate,omitempty"` // DER
	EKVendor      string    `json:"ek_vendor,omitempty"`      // from the certificate's subject alternative name, e.g. "id:00001014"
	EKTrusted     bool      `json:"ek_trusted"`               // the certificate chains to an anchor of the operator and holds this EK
	AKPublic      []byte    `json:"ak_public"`
	Transport     []byte    `json:"transport_public"`
	TokenID       string    `json:"token_id"` // the join token that bound this TPM to a machine (I23)
	RegisteredAt  time.Time `json:"registered_at"`
	SeenAt        time.Time `json:"seen_at"`           // last complete registration
	Offered       *Offered  `json:"offered,omitempty"` // other keys the same TPM came with since
}

// Offered are keys that a known TPM registered with and that are not in force
// until the operator accepts them (I11).
type Offered struct {
	AKPublic  []byte    `json:"ak_public"`
	Transport []byte    `json:"transport_public"`
	TokenID   string    `json:"token_id,omitempty"`
	Count     int       `json:"count"` // registrations with other keys than those in force
	SeenAt    time.Time `json:"seen_at"`
}

// MachineList answers ListMachines. A row that cannot be read is counted and
// left out; it never hides the others (I10).
type MachineList struct {
	Agents     []Machine `json:"agents"`
	Unreadable int       `json:"unreadable,omitempty"`
}

// AcceptKeysRequest names the offered keys by their KeysHash, so that an operator
// accepts what he looked at.
type AcceptKeysRequest struct {
	KeysHash string `json:"keys_hash"`
}

// KeysHash names a pair of keys: the hexadecimal SHA-256 of their public areas,
// AK ‖ transport key.
func KeysHash(ak, transport []byte) string {
	h := sha256.Sum256(slices.Concat(ak, transport))
	return hex.EncodeToString(h[:])
}

// JoinTokenRequest asks for a registration secret.
type JoinTokenRequest struct {
	Label     string `json:"label,omitempty"`      // the machine it is meant for; becomes the machine's label
	ExpiresIn int64  `json:"expires_in,omitempty"` // seconds; 0 is one day
}

// JoinTokenSecret answers CreateJoinToken: the one time the secret is shown.
type JoinTokenSecret struct {
	JoinToken
	Secret []byte `json:"secret"`
}

// JoinToken is a registration secret as the registrar remembers it.
type JoinToken struct {
	ID        string     `json:"id"`
	Label     string     `json:"label,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedBy    string     `json:"used_by,omitempty"` // agent id
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

// JoinTokenList answers ListJoinTokens.
type JoinTokenList struct {
	Tokens     []JoinToken `json:"tokens"`
	Unreadable int         `json:"unreadable,omitempty"` // rows that could not be read (I10)
}
