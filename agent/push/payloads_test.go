package push

import (
	"fmt"
	"strings"
	"testing"

	"quicklime/wire"
)

// stuck takes what comes about payloads and does nothing with it, as while it decrypts,
// wipes, or waits for the TPM.
type stuck struct{ taken chan wire.Message }

func (s stuck) Take(m wire.Message, _ []byte, _ func(wire.Message) error) bool {
	select {
	case s.taken <- m:
		return true
	default:
		return false
	}
}

// Challenges that come in the middle of a delivery are answered in their order, and do
// not wait for it.
func TestI13_ChallengesDuringADelivery(t *testing.T) {
	payloads := stuck{make(chan wire.Message, 256)}
	f := run(t, func(m *machine) { m.payloads = payloads })
	p, _ := f.begin()
	p.send(wire.Offers{Offers: []wire.Offer{}})
	part := make([]byte, wire.MaxChunk)
	for n := range uint64(8) {
		if err := p.conn.Send(wire.Chunk{Name: "db", Version: 1, Offset: n * wire.MaxChunk, Bytes: wire.MaxChunk}, part); err != nil {
			t.Fatal(err)
		}
		nonce := p.challenge()
		f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: nonce, First: p.hello.Entries, Replays: true})
		p.accepted(p.hello.Entries)
	}
	p.send(wire.Release{Name: "db", Version: 1})
	nonce := p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: nonce, First: p.hello.Entries, Replays: true})
	if len(payloads.taken) != 19 { // verdicts, too
		t.Errorf("%d messages were handed over", len(payloads.taken))
	}
}

// Evidence that is larger than what a verifier takes unread keeps no part of a payload
// from being read, which the verifier may have to be rid of before it reads evidence.
func TestI08_EvidenceAndPartsOfPayloadsPassEachOther(t *testing.T) {
	f := run(t, func(m *machine) {
		m.payloads = stuck{make(chan wire.Message, 256)}
		paths := make([]string, 6000)
		for n := range paths {
			paths[n] = fmt.Sprintf("/%s/%d", strings.Repeat("a", 400), n)
		}
		m.measure(paths...)
	})
	p := f.accept()
	nonce := p.welcome(0, false)
	answered := p.challenge()
	for n := range uint64(2) {
		if err := p.conn.Send(wire.Chunk{Name: "db", Version: 1, Offset: n * wire.MaxChunk, Bytes: wire.MaxChunk}, make([]byte, wire.MaxChunk)); err != nil {
			t.Fatal(err)
		}
	}
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	p.accepted(p.hello.Entries)
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: answered, First: p.hello.Entries, Replays: true})
}
