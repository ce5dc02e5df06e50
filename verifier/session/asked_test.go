package session

import (
	"testing"

	"quicklime/verifier/store"
	"quicklime/wire"
)

// The database tells times apart to the millisecond; the order in which an agent asked
// and was challenged is known exactly.
func TestI27_WhatAChallengeAnswers(t *testing.T) {
	var p payloads
	p.judged(wire.Trusted)
	first, second := store.Asked{Payload: 1}, store.Asked{Payload: 2}
	p.asked = append(p.asked, first)
	if got := p.answered(true); len(got) > 0 {
		t.Errorf("a challenge that was made before releases %v", got)
	}
	p.challenged()
	p.asked = append(p.asked, second)
	if got := p.answered(false); len(got) > 0 {
		t.Errorf("evidence that answers no challenge releases %v", got)
	}
	if got := p.answered(true); len(got) != 1 || got[0].Payload != 1 {
		t.Errorf("the challenge releases %v, want what was asked for before it", got)
	}
	p.judged(wire.Untrusted)
	p.judged(wire.Trusted)
	p.challenged()
	if got := p.answered(true); len(got) > 0 {
		t.Errorf("what was asked for before trust was lost releases %v", got)
	}
}
