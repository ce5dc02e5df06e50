package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/policycache"
	"quicklime/verifier/revocation"
	"quicklime/verifier/session"
	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// calm never challenges within a test; eager does at once and waits long for the
// answer; strict does not wait.
var (
	calm   = session.Timing{Challenge: time.Hour, Answer: time.Hour, Margin: time.Hour}
	eager  = session.Timing{Challenge: 50 * time.Millisecond, Answer: time.Minute, Margin: time.Minute}
	strict = session.Timing{Challenge: 50 * time.Millisecond, Answer: time.Second, Margin: time.Minute}
)

// verifier is a session server on loopback with its store on disk.
type verifier struct {
	t      testing.TB
	store  *store.Store
	server *session.Server
	addr   string
	pin    [32]byte
	db     string // file of the store

	ca         *pki.Authority
	revocation *ecdsa.PrivateKey
}

func newVerifier(t testing.TB, timing session.Timing) *verifier {
	t.Helper()
	return newLoggingVerifier(t, timing, slog.DiscardHandler)
}

func newLoggingVerifier(t testing.TB, timing session.Timing, log slog.Handler) *verifier {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKeyedVerifier(t, timing, log, revocation.Keys{Notice: private})
}

func newKeyedVerifier(t testing.TB, timing session.Timing, log slog.Handler, keys revocation.Keys) *verifier {
	t.Helper()
	dir := t.TempDir()
	s := storetest.Open(t, filepath.Join(dir, "verifier.db"), store.Routing{Notices: wire.EventKinds})
	policies, err := policycache.Open(filepath.Join(dir, "policies"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Open(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server("verifier", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	feed := revocation.NewFeed(s, keys, slog.New(log))
	v := &verifier{t: t, store: s, ca: ca, revocation: keys.Notice, server: session.New(s, policies, timing, feed, slog.New(log)), pin: ca.Pin(), db: filepath.Join(dir, "verifier.db")}
	l, err := channel.Listen(channel.ListenConfig{Addr: "127.0.0.1:0", ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest,
		Certificate: func() (*tls.Certificate, error) { return cert.TLSCertificate() }, Admit: v.server.Admit, MaxStrangers: session.MaxStrangers})
	if err != nil {
		t.Fatal(err)
	}
	v.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served, judged, fed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { fed <- feed.Run(ctx) }()
	go func() { judged <- v.server.RunJudge(ctx) }()
	go func() { served <- l.Serve(ctx, v.server.Handle) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-served, <-judged, <-fed); err != nil {
			t.Error(err)
		}
	})
	return v
}

// agent is a machine and its transport key.
type agent struct {
	*verifiertest.Machine
	v         *verifier
	transport *softtpm.AK
	conn      *channel.Conn
	welcome   wire.Welcome
	after     uint64 // the session that Hello says this one goes on from
}

func (v *verifier) agent() *agent {
	return &agent{Machine: verifiertest.New(v.t), v: v, transport: softtpm.NewTransport(v.t)}
}

func (a *agent) enrol(lowest pcr.Bank, policy string) {
	a.v.t.Helper()
	e := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: a.AK.Public.Bytes(), Transport: a.transport.Public.Bytes(), LowestBank: lowest, Policy: policy}
	if err := a.v.store.Enrol(a.v.t.Context(), e); err != nil {
		a.v.t.Fatal(err)
	}
}

// dial connects and says Hello.
func (a *agent) dial(boot wire.BootCounters, banks ...pcr.Bank) {
	t := a.v.t
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.transport.Private.PublicKey, a.transport.Private)
	if err != nil {
		t.Fatal(err)
	}
	a.conn, err = channel.Dial(t.Context(), channel.DialConfig{Addr: a.v.addr, ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest, ServerName: "localhost", CAPin: a.v.pin,
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.transport.Private}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.conn.Close(channel.CodeDone, "") })
	a.Exporter = a.conn.Exporter()
	a.send(wire.Hello{Version: wire.ProtocolVersion, Software: "test", Boot: boot, Banks: banks, Aggregate: pcr.SHA256, After: a.after})
}

func (a *agent) send(m wire.Message, raw ...[]byte) {
	a.v.t.Helper()
	if err := a.conn.Send(m, raw...); err != nil {
		a.v.t.Fatal(err)
	}
}

// receive returns the next message, which must be an M.
func receive[M wire.Message](a *agent) M {
	a.v.t.Helper()
	m, err := a.conn.Receive(10 * time.Second)
	if err != nil {
		a.v.t.Fatal(err)
	}
	got, ok := m.(M)
	if !ok {
		a.v.t.Fatalf("received %T %+v", m, m)
	}
	return got
}

// begin connects and takes Welcome.
func (a *agent) begin() {
	a.v.t.Helper()
	a.dial(a.AK.Counters, pcr.SHA1, pcr.SHA256)
	a.welcome = receive[wire.Welcome](a)
	a.Nonce, a.after = a.welcome.Nonce, a.welcome.Session
}

// attest sends the list from an entry on, and returns the verdict, whose nonce is
// the next evidence's.
func (a *agent) attest(first int) wire.Verdict {
	a.v.t.Helper()
	ev, list := a.Evidence(first)
	a.send(ev, list)
	v := receive[wire.Verdict](a)
	a.Nonce = v.Nonce
	return v
}

// closed returns the code with which the verifier closes the connection.
func (a *agent) closed() channel.Code {
	a.v.t.Helper()
	for {
		_, err := a.conn.Receive(10 * time.Second)
		var closed *channel.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			a.v.t.Fatal(err)
		}
	}
}

func (v *verifier) status() rest.Agent {
	v.t.Helper()
	a, err := v.store.Agent(v.t.Context(), verifiertest.AgentID)
	if err != nil {
		v.t.Fatal(err)
	}
	return a
}

func TestSession(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	if w := a.welcome; w.IMABank != pcr.SHA256 || w.Resume.Entries != 0 || !w.WantBoot || w.Selection[0].PCRs != pcr.Range(0, 10) {
		t.Errorf("%+v", w)
	}
	if got := a.attest(0); !got.Accepted || got.Trust != wire.Unjudged || got.Resume.Entries != 1 {
		t.Errorf("%+v", got)
	}
	a.File("/bin/a", pcr.SHA256.Sum(nil))
	if got := a.attest(1); !got.Accepted || got.Resume.Entries != 2 {
		t.Errorf("%+v", got)
	}
	a.send(wire.Alive{})
	if got := a.attest(2); !got.Accepted || got.Resume.Entries != 2 {
		t.Errorf("%+v", got)
	}
	if !v.server.Connected(verifiertest.AgentID) {
		t.Error("not connected")
	}

	// Another session of the same boot goes on where this one was.
	b := *a
	b.begin()
	if b.welcome.Resume.Entries != 2 {
		t.Errorf("%+v", b.welcome)
	}
	if code := a.closed(); code != channel.CodeDisplaced {
		t.Errorf("the older session ended with %v", code)
	}
	if got := b.attest(2); !got.Accepted {
		t.Errorf("%+v", got)
	}
	b.Reboot()
	if got := b.attest(2 - 1); got.Accepted || got.Resume.Entries != 0 {
		t.Errorf("after a reboot: %+v", got)
	}
	if got := b.attest(0); !got.Accepted || got.Resume.Entries != 1 {
		t.Errorf("%+v", got)
	}
}

func TestI06_I22_ParkedUntilEnrolled(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.dial(a.AK.Counters, pcr.SHA256)
	if _, err := a.conn.Receive(100 * time.Millisecond); err == nil {
		t.Fatal("an agent that is not enrolled is answered")
	}
	a.enrol(pcr.SHA256, "")
	a.welcome = receive[wire.Welcome](a)
	a.Nonce = a.welcome.Nonce
	if got := a.attest(0); !got.Accepted {
		t.Errorf("%+v", got)
	}
	spki, err := tpm.SPKIHash(a.transport.Public.Key())
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.store.BySPKI(t.Context(), spki)
	if err != nil {
		t.Fatal(err)
	}
	v.server.End(verifiertest.AgentID, e.ID+1)
	if got := a.attest(1); !got.Accepted {
		t.Errorf("after the end of another enrolment: %+v", got)
	}
	if ended, err := v.store.Delete(t.Context(), verifiertest.AgentID); err != nil || ended != e.ID {
		t.Fatal(ended, err)
	}
	v.server.End(verifiertest.AgentID, e.ID)
	if code := a.closed(); code != channel.CodeNotEnrolled {
		t.Errorf("%v", code)
	}
}

func TestI13_Challenge(t *testing.T) {
	v := newVerifier(t, eager)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	before := v.status().Last.NonceIssued
	c := receive[wire.Challenge](a)

	// Evidence under the old nonce does not answer the challenge.
	a.attest(1)
	a.Nonce, a.Trigger = c.Nonce, wire.TriggerChallenge
	if got := a.attest(1); !got.Accepted {
		t.Errorf("%+v", got)
	}
	if last := v.status().Last; last.Trigger != wire.TriggerChallenge || !last.NonceIssued.After(before) {
		t.Errorf("%+v", last)
	}
	receive[wire.Challenge](a)
}

func TestI13_UnansweredChallengeEndsTheSession(t *testing.T) {
	v := newVerifier(t, strict)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	until := *v.status().FreshUntil
	receive[wire.Challenge](a)
	if code := a.closed(); code != channel.CodeSilent {
		t.Errorf("%v", code)
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.Unanswered || r.Count != 1 {
		t.Errorf("%+v", r)
	}
	if got := *v.status().FreshUntil; !got.Equal(until) {
		t.Errorf("trust runs until %v, before it was %v", got, until)
	}
}

// I14: a session does not outlast its time, so that a TPM which lost the
// transport key is found out, whatever its quotes show. What it proved stays.
func TestI14_TheTransportKeyIsProvedAgain(t *testing.T) {
	renewed := eager
	renewed.Challenge, renewed.Renew = 2*time.Second, time.Millisecond // it ends when the next challenge is due
	v := newVerifier(t, renewed)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	if code := a.closed(); code != channel.CodeDone {
		t.Errorf("%v", code)
	}
	if got := v.status(); got.Trust != wire.Unjudged || got.Rejected != nil {
		t.Errorf("%+v", got)
	}
	a.begin()
	if got := a.attest(1); !got.Accepted || got.Failures != 0 {
		t.Errorf("%+v", got)
	}
}

// I13, I14: evidence under the nonces of verdicts does not take the place of an
// answer, and so does not keep a session from its end.
func TestI13_I14_TalkingIsNoAnswer(t *testing.T) {
	v := newVerifier(t, session.Timing{Challenge: 50 * time.Millisecond, Answer: 300 * time.Millisecond, Margin: time.Minute, Renew: time.Second})
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	for i := 0; ; i++ {
		if i == 200 {
			t.Fatal("it talks, and the session does not end")
		}
		ev, list := a.Evidence(1)
		if a.conn.Send(ev, list) != nil {
			break
		}
		m, err := a.conn.Receive(10 * time.Second)
		for ; err == nil && m.Type() == wire.TypeChallenge; m, err = a.conn.Receive(10 * time.Second) {
		}
		if err != nil {
			break
		}
		a.Nonce = m.(wire.Verdict).Nonce
		time.Sleep(20 * time.Millisecond)
	}
	if code := a.closed(); code != channel.CodeSilent {
		t.Errorf("%v", code)
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.Unanswered {
		t.Errorf("%+v", r)
	}
}

func TestI13_NonceCountsOnce(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	spent := a.Nonce
	a.attest(0)
	a.Nonce = spent
	ev, list := a.Evidence(1)
	a.send(ev, list)
	if code := a.closed(); code != channel.CodeProtocol {
		t.Errorf("%v", code)
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.QuoteStale || r.Count != 1 {
		t.Errorf("%+v", r)
	}
}

func TestI15_LowestBank(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA384, "")
	a.dial(a.AK.Counters, pcr.SHA1, pcr.SHA256)
	if code := a.closed(); code != channel.CodeProtocol {
		t.Errorf("%v", code)
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.QuoteWeakBank {
		t.Errorf("%+v", r)
	}
}

func TestMismatchIsRecordedAndTheSessionGoesOn(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	a.PCR.Extend(ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(nil), "/from/user/space"))
	if got := a.attest(1); got.Accepted || got.Trust != wire.Untrusted || got.Reason != wire.IMAMismatch || got.Resume.Entries != 1 {
		t.Errorf("%+v", got)
	}
	if got := a.attest(1); got.Accepted || got.Failures != 1 {
		t.Errorf("the same again is one failure: %+v", got)
	}
}

// A machine whose list is shorter than what it proved in the same boot is asked
// once, and then that is the verdict.
func TestI16_ListThatLostEntries(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.File("/bin/a", pcr.SHA256.Sum(nil))
	a.begin()
	a.attest(0)
	a.List = a.List[:1]
	if got := a.attest(0); got.Accepted || got.Trust != wire.Untrusted || got.Reason != wire.IMAMismatch {
		t.Errorf("%+v", got)
	}
}

// Agents that announce large lists and do not send them keep nobody waiting who
// has little to say.
func TestI08_DawdlersKeepNobodyWaiting(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	for i := range 3 {
		d := v.agent()
		e := rest.Enrolment{ID: strings.Repeat(fmt.Sprint(i), 64), EKPublic: []byte("ek"), AKPublic: d.AK.Public.Bytes(), Transport: d.transport.Public.Bytes(), LowestBank: pcr.SHA256}
		if err := v.store.Enrol(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		d.AgentID = e.ID
		d.begin()
		ev, list := d.Evidence(0)
		ev.IMA.Bytes = wire.MaxList
		d.send(ev, list)
	}
	a.begin()
	if got := a.attest(0); !got.Accepted {
		t.Errorf("%+v", got)
	}
}

func TestMalformedListIsAVerdict(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	ev, list := a.Evidence(0)
	list[24], list[25] = 0xff, 0xff // the length of the template's name
	a.send(ev, list)
	if got := receive[wire.Verdict](a); got.Accepted || got.Reason != wire.IMAMalformed {
		t.Errorf("%+v", got)
	}
}

func TestBootLogIsAskedForOnce(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	ev, list := a.Evidence(0)
	log := []byte("boot log")
	ev.Boot = uint64(len(log))
	a.send(ev, list, log)
	if got := receive[wire.Verdict](a); !got.Accepted || got.WantBoot {
		t.Errorf("%+v", got)
	}
	b := *a
	b.begin()
	if b.welcome.WantBoot {
		t.Error("asked for again")
	}
}

// Both logs arrive as they were sent, and what is sent of systemd's later is stored.
func TestI20_SystemdsLogArrives(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	for i, c := range []struct{ boot, systemd string }{{"boot log", "one"}, {"", "one two"}, {"", ""}} {
		ev, list := a.Evidence(min(i, len(a.List)))
		ev.Boot, ev.Systemd = uint64(len(c.boot)), uint64(len(c.systemd))
		a.send(ev, list, []byte(c.boot), []byte(c.systemd))
		got := receive[wire.Verdict](a)
		if !got.Accepted {
			t.Fatalf("%+v", got)
		}
		a.Nonce = got.Nonce
	}
	l, err := v.server.BootLog(t.Context(), verifiertest.AgentID)
	if err != nil || string(l.Log) != "boot log" || string(l.Systemd) != "one two" {
		t.Errorf("%q %q %v", l.Log, l.Systemd, err)
	}
}

func TestMessagesThatAreNotExpected(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.send(wire.Proof{HMAC: make([]byte, 32)})
	if code := a.closed(); code != channel.CodeProtocol {
		t.Errorf("%v", code)
	}
}

// A policy that changes is applied to what was certified before, with the
// machine gone.
func TestPolicyChangeJudgesAgain(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	good := pcr.SHA256.Sum([]byte("good"))
	text := func(path string) rest.RuntimePolicy {
		text := `{"meta":{"version":1},"digests":{"` + path + `":["` + hex.EncodeToString(good) + `"]}}`
		return rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hex.EncodeToString(pcr.SHA256.Sum([]byte(text))), Text: text}, Paths: 1}
	}
	if err := v.store.RuntimePolicies.Add(t.Context(), text("/bin/a")); err != nil {
		t.Fatal(err)
	}
	a.enrol(pcr.SHA256, "web")
	a.File("/bin/b", good)
	a.begin()
	if got := a.attest(0); got.Trust != wire.Untrusted || got.Failures != 1 {
		t.Errorf("%+v", got)
	}
	a.conn.Close(channel.CodeDone, "")
	for _, c := range []struct {
		path string
		want wire.Trust
	}{{"/bin/b", wire.Trusted}, {"/bin/c", wire.Untrusted}, {"/bin/b", wire.Trusted}} {
		if err := v.store.RuntimePolicies.Update(t.Context(), text(c.path)); err != nil {
			t.Fatal(err)
		}
		v.server.PolicyChanged()
		v.until(c.want)
	}
}

// until waits until the agent's trust is as wanted.
func (v *verifier) until(want wire.Trust) {
	v.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		changed, leave := v.store.Changed(verifiertest.AgentID)
		got := v.status()
		if got.Trust == want {
			leave()
			return
		}
		select {
		case <-changed:
		case <-timeout:
			v.t.Fatalf("%s (%s), want %s", got.Trust, got.Reason, want)
		}
		leave()
	}
}
