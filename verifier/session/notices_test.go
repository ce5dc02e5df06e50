package session_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// other is the agent id of another machine.
func other(i int) string { return fmt.Sprintf("%064x", i) }

// fall enrols another machine and has it fail.
func (v *verifier) fall(i int) {
	t := v.t
	t.Helper()
	transport := softtpm.NewTransport(t)
	e := rest.Enrolment{ID: other(i), Label: "other", EKPublic: []byte("ek"), AKPublic: softtpm.New(t).Public.Bytes(), Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256}
	if err := v.store.Enrol(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	spki, err := tpm.SPKIHash(transport.Public.Key())
	if err != nil {
		t.Fatal(err)
	}
	enrolment, err := v.store.BySPKI(t.Context(), spki)
	if err != nil {
		t.Fatal(err)
	}
	st, err := v.store.Standing(t.Context(), enrolment)
	if err != nil {
		t.Fatal(err)
	}
	var r wire.Result
	r.Fail(wire.Failure{ID: wire.IMAMismatch, Message: "x"})
	if _, err := v.store.Fail(t.Context(), enrolment, st, r); err != nil {
		t.Fatal(err)
	}
}

// trusted enrols the agent under a policy and has it attest.
func (a *agent) trusted() {
	t := a.v.t
	t.Helper()
	text := []byte(`{"meta":{"version":1},"digests":{"/bin/a":["` + fmt.Sprintf("%x", pcr.SHA256.Sum(nil)) + `"]}}`)
	if err := a.v.store.RuntimePolicies.Add(t.Context(), rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: fmt.Sprintf("%x", pcr.SHA256.Sum(text)), Text: string(text)}, Paths: 1}); err != nil {
		t.Fatal(err)
	}
	a.enrol(pcr.SHA256, "web")
	a.File("/bin/a", pcr.SHA256.Sum(nil))
	a.begin()
	if v := a.attest(0); v.Trust != wire.Trusted {
		t.Fatalf("%+v", v)
	}
}

// hears takes the next notice, which must have that number, and answers.
func (a *agent) hears(number uint64) notice.Notice {
	t := a.v.t
	t.Helper()
	key, err := notice.KeyOf(&a.v.revocation.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	o, err := notice.Open(receive[wire.Notice](a).Envelope, key)
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := o.Follow(number-1, time.Now()); err != nil || missing != 0 || o.Notice().Sequence != number {
		t.Fatalf("%+v: %d missing, %v, want number %d", o.Notice(), missing, err, number)
	}
	a.send(wire.Noticed{Last: number})
	return o.Notice()
}

// silence is how long a test listens for what must not come.
const silence = 150 * time.Millisecond

func (a *agent) hearsNothing() {
	a.v.t.Helper()
	if m, err := a.conn.Receive(silence); err == nil {
		a.v.t.Errorf("it hears %T", m)
	}
}

func TestI28_TrustedAgentsHearOfOthers(t *testing.T) {
	v := newVerifier(t, calm)
	v.fall(1) // before this agent was enrolled
	a := v.agent()
	a.trusted()
	a.hearsNothing() // it has not said that it takes notices
	a.send(wire.Noticed{})
	a.hearsNothing()
	v.fall(2)
	if n := a.hears(2); n.Subject != other(2) || n.Kind != wire.EventLost || n.Label != "other" || n.Failure != wire.IMAMismatch || n.Severity != "emergency" || n.Trust != wire.Untrusted {
		t.Errorf("%+v", n)
	}
	v.fall(3)
	a.hears(3)
	// A session that waits for evidence goes on as if nothing had happened.
	a.File("/bin/a", pcr.SHA256.Sum(nil))
	if got := a.attest(2); !got.Accepted || got.Trust != wire.Trusted {
		t.Errorf("%+v", got)
	}
	want := rest.Notices{Last: 3}
	if got := v.server.Notices(verifiertest.AgentID); got == nil || *got != want {
		t.Errorf("status %+v", got)
	}

	// What was missed comes in order, and what the agent says is missing is shown.
	a.conn.Close(0, "")
	v.fall(4)
	v.fall(5)
	a.begin()
	a.send(wire.Noticed{Last: 3})
	a.hears(4)
	a.hears(5)
	a.send(wire.Noticed{Last: 5, Missing: 2})
	a.attest(3) // which is after that
	if got := v.server.Notices(verifiertest.AgentID); got == nil || *got != (rest.Notices{Last: 5, Missing: 2}) {
		b, _ := json.Marshal(got)
		t.Errorf("status %s", b)
	}
}

// An agent that is not trusted hears of itself, with what came before, and of others
// when it is trusted again.
func TestI28_UntrustedAgentsHearOfThemselves(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.trusted()
	v.fall(1)
	a.File("/bin/evil", pcr.SHA256.Sum(nil))
	if got := a.attest(2); got.Trust != wire.Untrusted {
		t.Fatalf("%+v", got)
	}
	v.fall(2)
	a.send(wire.Noticed{})
	a.hears(1)
	if n := a.hears(2); n.Subject != verifiertest.AgentID {
		t.Errorf("%+v", n)
	}
	a.hearsNothing()
	_, listed, err := v.store.Failures(t.Context(), verifiertest.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.store.Clear(t.Context(), verifiertest.AgentID, rest.ClearRequest{Failures: 1, Listed: listed}); err != nil {
		t.Fatal(err)
	}
	if n := a.hears(3); n.Subject != other(2) {
		t.Errorf("%+v", n)
	}
	if n := a.hears(4); n.Subject != verifiertest.AgentID || n.Kind != wire.EventRegained {
		t.Errorf("%+v", n)
	}
}

// numbered waits until notices go on from a number.
func (v *verifier) numbered(want uint64) {
	v.t.Helper()
	for tries := 0; ; tries++ {
		last, err := v.store.LastNotice(v.t.Context())
		if err != nil || tries > 500 {
			v.t.Fatalf("the last notice is number %d, not %d, %v", last, want, err)
		}
		if last == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// The database is of a backup: agents have newer notices than it. What comes then is
// newer still.
func TestI28_NumbersGoOnFromTheAgents(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.trusted()
	a.send(wire.Noticed{Last: 40})
	v.numbered(40)
	v.fall(1)
	a.hears(41)
}

// No agent uses up the numbers.
func TestI28_NumbersFarBeyondAreNotBelieved(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.trusted()
	a.send(wire.Noticed{Last: 1 << 62})
	a.hearsNothing()
	if last, err := v.store.LastNotice(t.Context()); err != nil || last != 0 {
		t.Error(last, err)
	}
}

// A machine that is not trusted, or has proved nothing yet, does not have all others
// miss notices.
func TestI28_OnlyTrustedAgentsMoveTheNumbers(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "") // without a policy nobody is trusted
	a.begin()
	a.send(wire.Noticed{Last: 40})
	a.attest(0)
	a.hearsNothing()
	if last, err := v.store.LastNotice(t.Context()); err != nil || last != 0 {
		t.Error(last, err)
	}
}
