package session_test

import (
	"testing"
	"time"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
)

// Two copies of a machine, either of which takes the other's place, are seen
// when the first comes back.
func TestI14_CopiesThatTakeTurns(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	b := *a
	b.after = 0 // it was started by itself
	b.begin()
	if got := b.attest(1); !got.Accepted || got.Trust != wire.Unjudged {
		t.Errorf("a second agent is no proof of a copy: %+v", got)
	}
	if code := a.closed(); code != channel.CodeDisplaced {
		t.Errorf("%v", code)
	}
	a.begin()
	if got := a.attest(1); got.Trust != wire.Untrusted || got.Reason != wire.IdentityDuplicate || got.Failures != 1 {
		t.Errorf("the first comes back: %+v", got)
	}
	b.begin()
	if got := b.attest(1); got.Failures != 1 {
		t.Errorf("the same again is one failure: %+v", got)
	}
}

// An agent that loses its connections, its Welcome or its verdict, or is started
// anew, is no copy of itself.
func TestReconnectingIsNoCopy(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	for name, before := range map[string]func(){
		"the connection is lost":        func() {},
		"nothing follows Welcome":       func() { a.begin() },
		"Welcome is lost":               func() { last := a.after; a.begin(); a.after = last },
		"the verdict is lost":           func() { a.begin(); ev, list := a.Evidence(1); a.send(ev, list) },
		"the agent is started anew":     func() { a.after = 0 },
		"the verifier is of yesterday":  func() { a.after += uint64(time.Hour.Milliseconds()) },
		"the connection is closed well": func() { a.conn.Close(channel.CodeDone, "") },
	} {
		before()
		a.begin()
		if got := a.attest(1); !got.Accepted || got.Failures != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// I13: an agent that leaves in the face of a challenge is remembered for it.
func TestI13_LeavingIsNoAnswer(t *testing.T) {
	v := newVerifier(t, eager)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	a.attest(0)
	receive[wire.Challenge](a)
	changed, leave := v.store.Changed(verifiertest.AgentID)
	defer leave()
	a.conn.Close(channel.CodeDone, "")
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("nothing is recorded")
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.Unanswered {
		t.Errorf("%+v", r)
	}
}
