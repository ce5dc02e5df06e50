package push

import (
	"testing"

	"quicklime/wire"
	"quicklime/wire/channel"
)

func TestARejectionThatWantsTheSameIsTriedOnceThenOnlyChallengesAreAnswered(t *testing.T) {
	f := run(t, func(m *machine) { m.foreign(10) })
	p := f.accept()
	p.welcome(0, false)
	f.evidenceOf(p, 0)
	nonce := p.rejected(wire.IMAMismatch, 0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1})
	p.rejected(wire.IMAMismatch, 0, false)
	f.machine.measure("/a")
	p.silent()
	asked := p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, Count: 2})
	p.rejected(wire.IMAMismatch, 0, false)
	f.machine.measure("/b")
	p.silent()
	asked = p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, Count: 3})
	nonce = p.accepted(3) // it was judged away
	f.machine.measure("/c")
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 3, Count: 1})
}

func TestARejectionThatWantsSomethingElseIsObeyed(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a", "/b", "/c") })
	p := f.accept()
	p.welcome(3, false)
	f.evidenceOf(p, 3)
	nonce := p.rejected(wire.EpochRollback, 0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 4, Replays: true})
	nonce = p.rejected(wire.EpochRollback, 0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 4, Boot: "the boot log", Replays: true})
	nonce = p.rejected(wire.EpochRollback, 2, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 2, Count: 2, Boot: "the boot log", Replays: true})
	nonce = p.rejected(wire.EpochRollback, 1, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 1, Count: 3, Replays: true})
	p.rejected(wire.EpochRollback, 0, false)
	p.closed(channel.CodeInternal)
	f.accept()
}

func TestEveryResumePointIsObeyed(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a", "/b", "/c") })
	p := f.accept()
	p.welcome(3, false)
	f.evidenceOf(p, 3)
	for first := range uint64(maxResends) {
		nonce := p.rejected(wire.EpochRollback, first, false)
		f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: first, Count: 4 - first, Replays: true})
	}
}

func TestAVerifierThatIsAheadGetsTheListFromTheStart(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a") })
	p := f.accept()
	nonce := p.welcome(500, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 2, Replays: true})
	p.rejected(wire.EpochRollback, 500, false)
	f.evidenceOf(p, 0)
	p.rejected(wire.EpochRollback, 500, false) // it wants what there is not: the same again
	p.silent()
}

func TestTrustIsLoggedWhenItChanges(t *testing.T) {
	f := run(t, nil)
	p, _ := f.begin()
	for range 3 {
		p.challenge()
		f.evidenceOf(p, 1)
		p.accepted(1)
	}
	p.conn.Close(channel.CodeShutdown, "")
	p, _ = f.begin()
	p.challenge()
	f.evidenceOf(p, 1)
	p.send(wire.Verdict{Accepted: true, Trust: wire.Untrusted, Reason: wire.IMANotInPolicy, Failures: 1, Nonce: p.nonce(), Resume: at(1)})
	p.challenge()
	f.evidenceOf(p, 1)
	if n := f.log.Count("verdict: trusted"); n != 1 {
		t.Errorf("trusted is logged %d times", n)
	}
	if n := f.log.Count("level=WARN msg=\"the verifier's verdict: untrusted\" trust=untrusted reason=" + string(wire.IMANotInPolicy)); n != 1 {
		t.Errorf("untrusted is logged %d times", n)
	}
}
