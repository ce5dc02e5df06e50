package push

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/wire"
	"quicklime/wire/wiretest"
)

func TestStartGrowthAndChallenge(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a", "/b") })
	p := f.accept()
	want := wire.Hello{
		Version: wire.ProtocolVersion, Software: "test", Boot: wire.BootCounters{Reset: 1},
		Entries: 3, Banks: p.hello.Banks, Aggregate: selection[0].Bank,
	}
	if d := cmp.Diff(want, p.hello, cmpopts.IgnoreUnexported(wire.BootCounters{})); d != "" || len(p.hello.Banks) != 2 {
		t.Error(d, p.hello.Banks)
	}
	nonce := p.welcome(0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 3, Boot: "the boot log", Replays: true})
	nonce = p.accepted(3)
	p.silent()

	f.machine.measure("/c")
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 3, Count: 1, Replays: true})
	p.accepted(4)

	asked := p.challenge()
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, First: 4, Replays: true})
	nonce = p.accepted(4)
	f.machine.measure("/d", "/e")
	g := f.evidenceOf(p, 4)
	if !bytes.Equal(g.Nonce, nonce) {
		t.Error("growth after a challenge does not carry the nonce of the last verdict")
	}
}

func TestResumeInTheMiddle(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a", "/b", "/c") })
	p := f.accept()
	nonce := p.welcome(3, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 3, Count: 1, Replays: true})
}

func TestWhatIsAppendedAndNotExtendedWaits(t *testing.T) {
	f := run(t, nil)
	p, nonce := f.begin()
	e := f.machine.append("/late")
	p.silent()
	if f.machine.quoted() < 2 {
		t.Error("the agent did not even try")
	}
	f.machine.extend(10, e) // the list does not change: only another quote finds it
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 1, Count: 1, Replays: true})
}

func TestEntriesThatComeDuringAQuoteAreNotInIt(t *testing.T) {
	f := run(t, func(m *machine) {
		m.measure("/a")
		m.afterQuote = func(n int) {
			if n == 1 {
				m.measure("/during", "/during too")
			}
		}
	})
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 2, Replays: true})
	nonce = p.accepted(2)
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 2, Count: 2, Replays: true})
}

func TestGrowthInFlightIsCoalesced(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	p.welcome(0, false)
	f.evidenceOf(p, 0)
	for _, path := range []string{"/a", "/b", "/c"} {
		f.machine.measure(path)
		p.silent() // one evidence in flight
	}
	nonce := p.accepted(1)
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 1, Count: 3, Replays: true})
}

func TestAChallengeGoesBeforeGrowth(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	p.welcome(0, false)
	f.evidenceOf(p, 0)
	f.machine.measure("/a")
	asked := p.challenge()
	p.silent()
	p.accepted(1)
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, First: 1, Count: 1, Replays: true})
	p.accepted(2)
	p.silent()
}

func TestWhatAChallengeLeftOverIsQuotedAgain(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	p.welcome(0, false)
	f.evidenceOf(p, 0)
	e := f.machine.append("/late") // and not extended
	p.silent()
	asked := p.challenge()
	p.accepted(1)
	f.expect(p, got{Trigger: wire.TriggerChallenge, Nonce: asked, First: 1, Replays: true})
	nonce := p.accepted(1)
	f.machine.extend(10, e)
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 1, Count: 1, Replays: true})
}

func TestAMachineWithoutABootLogSendsNone(t *testing.T) {
	f := run(t, func(m *machine) { os.Remove(m.boot) })
	p := f.accept()
	nonce := p.welcome(0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Replays: true})
	p.rejected(wire.EpochRollback, 0, true)
	f.evidenceOf(p, 0)
	p.rejected(wire.EpochRollback, 0, true) // it wants what there is not: the same again
	p.silent()
	if f.log.Count("boot log") != 0 {
		t.Error("that is nothing to report")
	}
}

func TestABootLogBeyondAnyKernelsIsNotSent(t *testing.T) {
	f := run(t, func(m *machine) {
		if err := os.WriteFile(m.boot, make([]byte, wire.MaxBootLog+1), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	p := f.accept()
	nonce := p.welcome(0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Replays: true})
	if f.log.Count("the boot log is not sent") != 1 {
		t.Error("nobody is told")
	}
}

func TestAKernelWithoutAListAttestsAnEmptyOne(t *testing.T) {
	m := newMachine(t)
	os.Remove(m.list)
	m.pcrs[selection[0].Bank][10] = make([]byte, 32)
	f := &fixture{verifier: newVerifier(t, m.ak.Public), machine: m, log: new(wiretest.Log)}
	var cfg Config
	_, cfg.Verifier.Certificate = newKey(t)
	cfg.TPM = m
	f.agent(cfg, m.list)
	p := f.accept()
	p.welcome(0, false)
	if err := os.WriteFile(m.list, nil, 0o600); err != nil { // for the test's own replay
		t.Fatal(err)
	}
	if g := f.evidenceOf(p, 0); g.Count != 0 || !g.Replays {
		t.Errorf("%+v", g)
	}
}
