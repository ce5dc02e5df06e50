package session_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/session"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
)

// calm never challenges within a test; eager does at once and waits long for the
// answer; strict does not wait.
var (
	calm   = session.Timing{Challenge: time.Hour, Answer: time.Hour, Margin: time.Hour}
	eager  = session.Timing{Challenge: 50 * time.Millisecond, Answer: time.Minute, Margin: time.Minute}
	strict = session.Timing{Challenge: 50 * time.Millisecond, Answer: time.Second, Margin: time.Minute}
)

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
		m, err := a.conn.Receive(patience)
		for ; err == nil && m.Type() == wire.TypeChallenge; m, err = a.conn.Receive(patience) {
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
	var dawdlers [3]*agent
	for i := range dawdlers {
		d := v.agent()
		dawdlers[i] = d
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
	for i, d := range dawdlers {
		if d.conn.Context().Err() != nil {
			t.Errorf("the verdict came when dawdler %d was gone", i)
		}
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
