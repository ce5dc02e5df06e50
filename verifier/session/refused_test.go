package session_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"quicklime/verifier/revocation"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// shortly is the pause after a refusal, in these tests.
const shortly = 20 * time.Millisecond

// told waits until what the server says of the agent's notices is as wanted.
func (v *verifier) told(want func(rest.Notices) bool) {
	v.t.Helper()
	for tries := 0; ; tries++ {
		got := v.server.Notices(verifiertest.AgentID)
		if got != nil && want(*got) {
			return
		}
		if tries > 500 {
			v.t.Fatalf("status %+v", got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What an agent refuses because of its clock, or cannot keep, is sent again from the
// last that it accepted, and nothing overtakes it. The operator sees why.
func TestI28_RefusedNoticesAreSentAgain(t *testing.T) {
	v := newVerifier(t, calm)
	v.server.PauseAfterRefusal(shortly)
	a := v.agent()
	a.trusted()
	a.send(wire.Noticed{})
	v.fall(1)
	a.hears(1)
	behind := uint64(time.Now().Add(-2 * time.Hour).Unix())
	v.fall(2)
	v.fall(3)
	for range 2 { // as often as it takes
		a.hearsOf(2)
		a.send(wire.Noticed{Last: 1, Refused: wire.RefusedClock, Clock: behind})
		v.told(func(n rest.Notices) bool {
			return n.Last == 1 && n.Refused == wire.RefusedClock && n.ClockOff < -7100 && n.ClockOff > -7300
		})
	}
	a.hearsOf(2)
	a.send(wire.Noticed{Last: 2})
	a.hears(3)
	v.told(func(n rest.Notices) bool { return n == rest.Notices{Last: 3} })

	a.send(wire.Noticed{Last: 2, Refused: wire.RefusedStorage})
	a.hears(3)
	a.send(wire.Noticed{Last: 3, Refused: wire.RefusedKey}) // which no pause changes
	v.told(func(n rest.Notices) bool { return n.Refused == wire.RefusedKey })
	a.hearsNothing()
	v.fall(4)
	a.hears(4)
}

// hearsOf waits for a notice, whatever of those after it was under way.
func (a *agent) hearsOf(number uint64) {
	a.v.t.Helper()
	for range 10 {
		if sequence(a.v.t, a.v, receive[wire.Notice](a)) == number {
			return
		}
	}
	a.v.t.Fatalf("number %d does not come", number)
}

func sequence(t testing.TB, v *verifier, m wire.Notice) uint64 {
	t.Helper()
	key, err := notice.KeyOf(&v.revocation.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	o, err := notice.Open(m.Envelope, key)
	if err != nil {
		t.Fatal(err)
	}
	return o.Notice().Sequence
}

// An agent that was refused before it ever accepted one gets them from where it began.
func TestI28_TheFirstNoticeMayBeRefused(t *testing.T) {
	v := newVerifier(t, calm)
	v.server.PauseAfterRefusal(shortly)
	v.fall(1) // before the agent was enrolled
	a := v.agent()
	a.trusted()
	a.send(wire.Noticed{})
	v.fall(2)
	receive[wire.Notice](a)
	a.send(wire.Noticed{Refused: wire.RefusedClock, Clock: 1})
	a.hears(2)
}

// An agent that pins an earlier key of the verifier's is led to the newest before it
// hears anything under it; one that nothing leads from is told of in its status.
func TestI28_AgentsAreLedToTheNewKey(t *testing.T) {
	ca, err := pki.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old, err := revocation.OpenKeys(ca, false)
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := notice.KeyOf(&old.Notice.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := revocation.Rotate(ca, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := revocation.OpenKeys(ca, false)
	if err != nil {
		t.Fatal(err)
	}
	v := newKeyedVerifier(t, calm, slog.DiscardHandler, keys)
	a := v.agent()
	a.trusted()
	v.fall(1)
	a.send(wire.Noticed{Key: pinned.ID()})
	pin := notice.Pin{Key: pinned}
	for range 2 {
		if pin, err = pin.Follow(receive[wire.Notice](a).Envelope); err != nil {
			t.Fatal(err)
		}
		a.send(wire.Noticed{Key: pin.Key.ID()})
	}
	a.hears(1) // under the newest key
	a.send(wire.Noticed{Last: 1, Key: pin.Key.ID()})
	v.told(func(n rest.Notices) bool { return n == rest.Notices{Last: 1, Key: rest.NoticeKeyCurrent} })
	a.send(wire.Noticed{Last: 1, Key: pinned.ID()})
	v.told(func(n rest.Notices) bool { return n.Key == rest.NoticeKeyEarlier })

	// The next session begins with its key.
	a.conn.Close(0, "")
	a.begin()
	a.send(wire.Noticed{Last: 1, Key: pin.Key.ID()})
	a.hearsNothing()
	a.send(wire.Noticed{Last: 1, Key: strings.Repeat("0", 64)})
	v.told(func(n rest.Notices) bool { return n.Key == rest.NoticeKeyUnknown })
}
