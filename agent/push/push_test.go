package push

import (
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
)

func TestTheSessionIsMadeAnew(t *testing.T) {
	f := run(t, nil)
	p, _ := f.begin()
	f.machine.measure("/a")
	f.evidenceOf(p, 1)
	p.conn.Close(channel.CodeShutdown, "") // before the verdict
	p = f.accept()
	if p.hello.Entries != 2 {
		t.Errorf("Hello tells of %d entries, want 2", p.hello.Entries)
	}
	nonce := p.welcome(1, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 1, Count: 1, Replays: true})
}

func TestTheWaitIsShortAgainAfterASessionThatWasAccepted(t *testing.T) {
	f := run(t, nil)
	f.accept().conn.Close(channel.CodeShutdown, "")
	f.accept().conn.Close(channel.CodeShutdown, "")
	p, _ := f.begin()
	p.challenge() // whose evidence shows that the verdict has arrived
	f.evidenceOf(p, 1)
	p.conn.Close(channel.CodeShutdown, "")
	f.accept()
	var waits []time.Duration
	for _, m := range regexp.MustCompile(`retry=(\S+)`).FindAllStringSubmatch(f.log.String(), -1) {
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, d)
	}
	if len(waits) != 3 || waits[1] < firstPause || waits[2] > firstPause {
		t.Errorf("waits of %v", waits)
	}
}

// The agent remembers the last session that it was welcomed to, and no other.
func TestHelloSaysWhichSessionWentBefore(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	if p.hello.After != 0 {
		t.Errorf("the first Hello goes on from session %d", p.hello.After)
	}
	p.conn.Close(channel.CodeShutdown, "")
	p, _ = f.begin()
	p.conn.Close(channel.CodeShutdown, "")
	f.accept().conn.Close(channel.CodeShutdown, "") // no Welcome
	if p = f.accept(); p.hello.After != 1 {
		t.Errorf("Hello goes on from session %d", p.hello.After)
	}
}

func TestAReplacedListIsReadFromTheStartInANewSession(t *testing.T) {
	f := run(t, func(m *machine) { m.measure("/a", "/b") })
	p, _ := f.begin()
	if err := os.WriteFile(f.machine.list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.closed(channel.CodeInternal)
	if p = f.accept(); p.hello.Entries != 0 {
		t.Errorf("Hello tells of %d entries", p.hello.Entries)
	}
}

func TestAVerifierThatBreaksTheProtocolIsLeft(t *testing.T) {
	welcome := wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: make([]byte, wire.NonceSize), Selection: selection, IMABank: selection[0].Bank, Session: 1,
	}
	otherBank := welcome
	otherBank.IMABank = selection[1].Bank // whose PCR 10 is not selected
	for _, c := range []struct {
		name string
		say  func(p *peer)
	}{
		{"no Welcome", func(p *peer) { p.challenge() }},
		{"a Welcome without PCR 10", func(p *peer) { p.send(otherBank) }},
		{"a verdict on nothing", func(p *peer) {
			p.welcome(0, false)
			p.evidence(ima.NewState(pcr.SHA256))
			p.accepted(1)
			p.accepted(1)
		}},
		{"another message", func(p *peer) {
			p.welcome(0, false)
			p.send(welcome)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := run(t, nil)
			p := f.accept()
			c.say(p)
			if err := p.end(); err == nil || err.Code != channel.CodeProtocol {
				t.Errorf("the session ended with %v", err)
			}
		})
	}
}

func TestATPMThatFailsEndsRun(t *testing.T) {
	fault := errors.New("TPM fault")
	for _, c := range []struct {
		name string
		do   func(f *fixture, p *peer)
		want error
	}{
		{"a quote", func(f *fixture, p *peer) {
			f.machine.fail(fault)
			p.challenge()
		}, fault},
		{"a signature", func(f *fixture, p *peer) {
			f.key.fail(fault)
			p.conn.Close(channel.CodeShutdown, "")
		}, fault},
		{"a restart", func(f *fixture, p *peer) {
			f.machine.reset(wire.BootCounters{Reset: 2})
			p.conn.Close(channel.CodeShutdown, "")
		}, errRestarted},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := run(t, nil)
			p, _ := f.begin()
			c.do(f, p)
			select {
			case err := <-f.ended:
				if !errors.Is(err, c.want) {
					t.Errorf("Run ended with %v, want %v", err, c.want)
				}
			case <-time.After(patience):
				t.Error("Run goes on")
			}
		})
	}
}

func TestASuspendIsNoRestart(t *testing.T) {
	f := run(t, nil)
	p, _ := f.begin()
	f.machine.reset(wire.BootCounters{Reset: 1, Restart: 1})
	p.conn.Close(channel.CodeShutdown, "")
	if p = f.accept(); p.hello.Boot.Restart != 1 {
		t.Errorf("Hello tells of %+v", p.hello.Boot)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *fixture)
	}{
		{"in a session", func(f *fixture) { f.begin() }},
		{"before Welcome", func(f *fixture) { f.accept() }},
		{"between sessions", func(f *fixture) {
			f.accept().conn.Close(channel.CodeDisplaced, "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := run(t, nil)
			c.do(f)
			f.stop()
			if err := <-f.ended; err != nil {
				t.Error(err)
			}
		})
	}
}
