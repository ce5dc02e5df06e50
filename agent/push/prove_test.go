package push

import (
	"errors"
	"os"
	"strings"
	"testing"

	"quicklime/agent/imalog"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
)

func TestOtherPCRsMayMove(t *testing.T) {
	f := run(t, nil)
	p, nonce := f.begin()
	f.machine.foreign(7)
	f.machine.measure("/a")
	f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 1, Count: 1, Replays: true})
}

func TestAListThatDoesNotReplayIsSentWhole(t *testing.T) {
	f := run(t, func(m *machine) {
		m.measure("/a", "/b")
		m.foreign(10)
		m.measure("/c")
	})
	p := f.accept()
	nonce := p.welcome(2, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 2, Count: 2})
}

func TestAListThatDoesNotReplayIsQuotedUntilThePCRsAgree(t *testing.T) {
	f := run(t, func(m *machine) {
		m.foreign(10)
		m.afterQuote = func(n int) {
			if n < 4 {
				m.measure("/busy")
			}
		}
	})
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 4})
	if n := f.machine.quoted(); n != 4 {
		t.Errorf("%d quotes, want 4", n)
	}
}

func TestPCRsThatNeverStayEndTheSession(t *testing.T) {
	f := run(t, func(m *machine) {
		m.foreign(10)
		m.afterQuote = func(int) { m.measure("/busy") }
	})
	p := f.accept()
	p.welcome(0, false)
	p.closed(channel.CodeInternal)
	if n := f.machine.quoted(); n != maxQuotes {
		t.Errorf("%d quotes, want %d", n, maxQuotes)
	}
	f.accept() // another session
}

func TestAListBeyondTheVerifiersLimitIsNotSent(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	p.send(wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: p.nonce(), Selection: selection, IMABank: selection[0].Bank, MaxList: 10, Session: 1,
	})
	p.closed(channel.CodeInternal)
}

func TestAListThatCannotBeReadToItsEndIsNoMismatch(t *testing.T) {
	m := newMachine(t)
	long := m.append("/" + strings.Repeat("x", 60<<10)).AppendTo(nil)
	f, err := os.OpenFile(m.list, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range imalog.MaxUnacknowledged / len(long) {
		if _, err := f.Write(long); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	m.foreign(10)
	list, err := imalog.New(m.list)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if err := list.Rewind(pcr.SHA256, 0); err != nil {
		t.Fatal(err)
	}
	cfg := Config{TPM: m, AK: m.ak.Public, List: list}
	p, err := newProver(cfg, wire.Welcome{Selection: selection, IMABank: pcr.SHA256, MaxList: wire.MaxList}, make([]byte, wire.ExporterSize))
	if err != nil {
		t.Fatal(err)
	}
	payload := envelope.Payload{Nonce: make([]byte, wire.NonceSize), AgentID: m.ak.Public.AgentID(), Trigger: wire.TriggerStart}
	if _, err := p.prove(payload); !errors.Is(err, errTooLong) {
		t.Errorf("%v", err)
	}
}

func TestAnInactiveBankIsRefused(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	sel := selection[:1:1]
	sel = append(sel, selection[1])
	sel[1].Bank = 0x000C
	p.send(wire.Welcome{Version: wire.ProtocolVersion, Nonce: p.nonce(), Selection: sel, IMABank: sel[0].Bank, MaxList: wire.MaxList, Session: 1})
	p.closed(channel.CodeInternal)
	if f.machine.quoted() != 0 {
		t.Error("it was quoted")
	}
	f.accept() // the TPM has no fault: another session
}

// I16: that a kernel extends the bank with padded SHA-1 shows in the PCR alone, so
// the agent says it, from wherever the list goes on.
func TestI16_PaddedBanksAreFoundOut(t *testing.T) {
	for _, resume := range []uint64{0, 2} {
		f := run(t, func(m *machine) {
			m.pad()
			m.measure("/a", "/b")
		})
		p := f.accept()
		nonce := p.welcome(resume, false)
		f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: resume, Count: 3 - resume, Padded: true, Replays: true})
		nonce = p.accepted(3)
		f.machine.measure("/c")
		f.expect(p, got{Trigger: wire.TriggerGrowth, Nonce: nonce, First: 3, Count: 1, Padded: true, Replays: true})
	}
}
