package push

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/agent/imalog"
	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
)

// key is a transport key outside a TPM that can be made to fail.
type key struct {
	*ecdsa.PrivateKey
	mu  sync.Mutex
	err error
}

func (k *key) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return nil, k.err
	}
	return k.PrivateKey.Sign(r, digest, opts)
}

func (k *key) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func newKey(t testing.TB) (*key, tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	k := &key{PrivateKey: private}
	return k, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// fixture is a machine whose agent runs against a verifier.
type fixture struct {
	*verifier
	machine *machine
	key     *key
	log     *logged
	ended   <-chan error
	stop    func()
}

// run starts an agent on a machine, which prepare may change first.
func run(t *testing.T, prepare func(m *machine)) *fixture {
	t.Helper()
	m := newMachine(t)
	if prepare != nil {
		prepare(m)
	}
	f := &fixture{verifier: newVerifier(t, m.ak.Public), machine: m, log: &logged{}}
	var cfg Config
	f.key, cfg.Verifier.Certificate = newKey(t)
	cfg.TPM, cfg.BootLog = m, m.boot
	cfg.Log = slog.New(slog.NewTextHandler(f.log, nil))
	f.ended, f.stop = f.agent(cfg, m.list)
	return f
}

// logged is a log that a test reads while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// expect receives evidence and compares it.
func (f *fixture) expect(p *peer, want got) got {
	f.t.Helper()
	g := p.evidence(f.machine.after(want.First))
	if d := cmp.Diff(want, g, cmpopts.IgnoreUnexported(got{})); d != "" {
		f.t.Fatal(d)
	}
	return g
}

// begin accepts a session, its first evidence included.
func (f *fixture) begin() (*peer, []byte) {
	f.t.Helper()
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	return p, p.accepted(p.hello.Entries)
}

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

// evidenceOf receives evidence from entry first on.
func (f *fixture) evidenceOf(p *peer, first uint64) got {
	f.t.Helper()
	return p.evidence(f.machine.after(first))
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
	nonce = p.rejected(wire.QuoteStale, 2, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 2, Count: 2, Boot: "the boot log", Replays: true})
	nonce = p.rejected(wire.QuoteStale, 2, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, First: 2, Count: 2, Replays: true})
	p.rejected(wire.QuoteStale, 2, false)
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

func TestAMachineWithoutABootLogSendsNone(t *testing.T) {
	f := run(t, func(m *machine) { os.Remove(m.boot) })
	p := f.accept()
	nonce := p.welcome(0, true)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Replays: true})
	p.rejected(wire.EpochRollback, 0, true)
	f.evidenceOf(p, 0)
	p.rejected(wire.EpochRollback, 0, true) // it wants what there is not: the same again
	p.silent()
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
	if f.log.count("the boot log is not sent") != 1 {
		t.Error("nobody is told")
	}
}

func TestAKernelWithoutAListAttestsAnEmptyOne(t *testing.T) {
	m := newMachine(t)
	os.Remove(m.list)
	m.pcrs[selection[0].Bank][10] = make([]byte, 32)
	f := &fixture{verifier: newVerifier(t, m.ak.Public), machine: m, log: &logged{}}
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

func TestAListBeyondTheVerifiersLimitIsNotSent(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	p.send(wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: p.nonce(), Selection: selection, IMABank: selection[0].Bank, MaxList: 10,
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

func TestAVerifierThatBreaksTheProtocolIsLeft(t *testing.T) {
	welcome := wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: make([]byte, wire.NonceSize), Selection: selection, IMABank: selection[0].Bank,
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

func TestAnInactiveBankIsRefused(t *testing.T) {
	f := run(t, nil)
	p := f.accept()
	sel := selection[:1:1]
	sel = append(sel, selection[1])
	sel[1].Bank = 0x000C
	p.send(wire.Welcome{Version: wire.ProtocolVersion, Nonce: p.nonce(), Selection: sel, IMABank: sel[0].Bank, MaxList: wire.MaxList})
	p.closed(channel.CodeInternal)
	if f.machine.quoted() != 0 {
		t.Error("it was quoted")
	}
	f.accept() // the TPM has no fault: another session
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
	if n := f.log.count("verdict: trusted"); n != 1 {
		t.Errorf("trusted is logged %d times", n)
	}
	if n := f.log.count("level=WARN msg=\"the verifier's verdict: untrusted\" trust=untrusted reason=" + string(wire.IMANotInPolicy)); n != 1 {
		t.Errorf("untrusted is logged %d times", n)
	}
}
