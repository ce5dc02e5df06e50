package revocation

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"time"

	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// Message is what Keylime's receivers read (keylime/cloud_verifier_common.py,
// prepare_error), and behind it what Quicklime knows beside that. Keylime has no word
// for a machine that is trusted again: a receiver tells by Kind, and one that was
// written only for Keylime by Type, which is "revocation" only when trust is gone.
type Message struct {
	Type          string         `json:"type"`
	IP            string         `json:"ip"` // from where the agent attested last; agents of Quicklime listen on nothing
	AgentID       string         `json:"agent_id"`
	Port          int            `json:"port"`       // of that address
	TPMPolicy     string         `json:"tpm_policy"` // JSON in text, as in Keylime
	MetaData      string         `json:"meta_data"`  // the same; there is none in Quicklime
	EventTime     string         `json:"event_time"` // asctime, in UTC
	EventID       wire.FailureID `json:"event_id"`   // what failed, not which event
	SeverityLabel string         `json:"severity_label"`
	Context       Context        `json:"context"`

	ID       string         `json:"id"` // of the event: the same again is a repetition
	Sequence int64          `json:"sequence"`
	Kind     wire.EventKind `json:"kind"`
	Label    string         `json:"label"`
	Epoch    string         `json:"epoch"`
	Was      wire.Trust     `json:"was"`
	Trust    wire.Trust     `json:"trust"`
	At       time.Time      `json:"at"`
}

// Context says more of a failure.
type Context struct {
	Message  string   `json:"message"`
	Path     string   `json:"path,omitempty"`
	Got      string   `json:"got,omitempty"`
	Expected []string `json:"expected,omitempty"`
	Hint     string   `json:"hint,omitempty"`
}

// envelope is the body of a webhook's request.
type envelope struct {
	Msg       string `json:"msg"`       // a Message as JSON
	Signature string `json:"signature"` // over Msg; base64, RSASSA-PSS with SHA-256 and the longest salt, as Keylime's
}

// typeOf is the word for a kind in Message.Type.
func typeOf(k wire.EventKind) string {
	if k == wire.EventRegained || k == wire.EventRaised {
		return string(k)
	}
	return "revocation"
}

// MessageOf makes the message of an event, about an agent with that TPM policy; "" is
// none.
func MessageOf(e rest.Event, tpmPolicy string) Message {
	m := Message{
		Type: typeOf(e.Kind), AgentID: e.Agent, TPMPolicy: cmp.Or(tpmPolicy, "{}"), MetaData: "{}", EventTime: e.At.UTC().Format(time.ANSIC),
		EventID: e.FailureID(), SeverityLabel: e.Severity,
		ID: e.ID, Sequence: e.Sequence, Kind: e.Kind, Label: e.Label, Epoch: e.Epoch, Was: e.Was, Trust: e.Trust, At: e.At,
	}
	if a, err := netip.ParseAddrPort(e.Peer); err == nil {
		m.IP, m.Port = a.Addr().String(), int(a.Port())
	}
	if f := e.Failure; f != nil {
		m.Context = Context{f.Message, f.Path, f.Got, f.Expected, f.Hint}
	}
	return m
}

// body is what a webhook is sent.
func (k Keys) body(d store.Delivery) ([]byte, error) {
	msg, err := json.Marshal(MessageOf(d.Event, d.TPMPolicy))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(msg)
	signature, err := rsa.SignPSS(rand.Reader, k.Keylime, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{string(msg), base64.StdEncoding.EncodeToString(signature)})
}
