package session

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"quicklime/verifier/appraise"
	"quicklime/verifier/policycache"
	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// fixture is a session without a connection, whose agent has measured /bin/a.
type fixture struct {
	*session
	t       *testing.T
	machine *verifiertest.Machine
}

func newFixture(t *testing.T, allowed string) *fixture {
	t.Helper()
	db := storetest.New(t)
	policies, err := policycache.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, machine: verifiertest.New(t), session: &session{
		server: New(db, policies, DefaultTiming, nil, slog.New(slog.DiscardHandler)), exporter: verifiertest.Exporter,
		log: slog.New(slog.DiscardHandler), selection: verifiertest.Selection, bank: pcr.SHA256,
		own: nonce{value: [32]byte(verifiertest.Nonce)},
	}}
	f.machine.File("/bin/a", good)
	if err := db.RuntimePolicies.Add(t.Context(), allow(allowed)); err != nil {
		t.Fatal(err)
	}
	f.enrolment = storetest.Enrol(t, db, f.machine, "web")
	return f
}

var good = pcr.SHA256.Sum([]byte("good"))

// allow is the policy "web" that allows one path.
func allow(path string) rest.RuntimePolicy {
	text := `{"meta":{"version":1},"digests":{"` + path + `":["` + hex.EncodeToString(good) + `"]}}`
	return rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hex.EncodeToString(pcr.SHA256.Sum([]byte(text))), Text: text}, Paths: 1}
}

// began is evidence that was begun, with its list, as if that were still to come.
func (f *fixture) began() (wire.Evidence, *appraise.Begun, *received) {
	f.t.Helper()
	st, err := f.server.store.Standing(f.t.Context(), f.enrolment)
	if err != nil {
		f.t.Fatal(err)
	}
	first := int(st.Resume.Entries())
	if st.Epoch != nil && st.Epoch.Counters != f.machine.AK.Counters {
		first = 0 // it has booted again
	}
	ev, list := f.machine.Evidence(first)
	b, err := f.begin(f.t.Context(), ev)
	if err != nil {
		f.t.Fatal(err)
	}
	return ev, b, f.arrived(b, list)
}

// arrived has the list arrive.
func (s *session) arrived(b *appraise.Begun, list []byte) *received {
	p, err := s.server.policy(context.Background(), s.standing.InForce)
	if err != nil {
		panic(err)
	}
	r := &received{list: s.server.store.Collect(), appraisal: new(appraise.Appraisal)}
	r.appraisal.Begin(b, p, r.list)
	r.appraisal.Write(list)
	return r
}

func (f *fixture) trust() rest.Agent {
	f.t.Helper()
	a, err := f.server.store.Agent(f.t.Context(), verifiertest.AgentID)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) clear() error {
	f.t.Helper()
	_, listed, err := f.server.store.Failures(f.t.Context(), verifiertest.AgentID)
	if err != nil {
		return err
	}
	return f.server.store.Clear(f.t.Context(), verifiertest.AgentID, rest.ClearRequest{Failures: f.trust().FailureCount, Listed: listed})
}

// I22: what happens while evidence arrives is part of its verdict.
func TestI22_ChangesWhileEvidenceArrives(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*fixture) error
		accepted bool
		err      error
		trust    wire.Trust
	}{
		"nothing":          {func(*fixture) error { return nil }, true, nil, wire.Trusted},
		"a tighter policy": {func(f *fixture) error { return f.server.store.RuntimePolicies.Update(f.t.Context(), allow("/bin/b")) }, true, nil, wire.Untrusted},
		"no policy": {func(f *fixture) error {
			none := ""
			return f.server.store.Update(f.t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &none})
		}, true, nil, wire.Unjudged},
		"another label": {func(f *fixture) error {
			label := "x"
			return f.server.store.Update(f.t.Context(), verifiertest.AgentID, rest.AgentUpdate{Label: &label})
		}, true, nil, wire.Trusted},
		"a clearing": {func(f *fixture) error { return f.clear() }, true, nil, wire.Trusted},
		"the end of the enrolment": {func(f *fixture) error {
			_, err := f.server.store.Delete(f.t.Context(), verifiertest.AgentID)
			return err
		}, false, store.ErrNotFound, ""},
		"the same from another session": {func(f *fixture) error {
			other := *f.session
			f.machine.AK.Clock-- // quoted at the same time
			ev, list := f.machine.Evidence(0)
			b, err := other.begin(f.t.Context(), ev)
			if err != nil {
				return err
			}
			_, err = other.settle(f.t.Context(), ev, b, other.arrived(b, list))
			return err
		}, false, nil, wire.Trusted},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "/bin/a")
			f.own.issued = mustNow(f)
			ev, b, r := f.began()
			if err := c.change(f); err != nil {
				t.Fatal(err)
			}
			accepted, err := f.settle(t.Context(), ev, b, r)
			if accepted != c.accepted || !errors.Is(err, c.err) {
				t.Fatalf("accepted %v, %v", accepted, err)
			}
			if c.err != nil {
				return
			}
			if got := f.trust(); got.Trust != c.trust || got.Epoch.Entries != 2 {
				t.Errorf("%s (%s) with %+v", got.Trust, got.Reason, got.Epoch)
			}
		})
	}
}

// I14, I22: evidence that newer evidence of another session overtook is no rollback;
// what is overtaken again and again is.
func TestI14_I22_OvertakenEvidenceIsNoRollback(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.own.issued = mustNow(f).Add(-time.Second)
	older, _ := f.machine.Evidence(0)
	ev, b, r := f.began()
	other := *f.session
	if accepted, err := other.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	for i := range maxTries + 1 {
		b, err := f.begin(t.Context(), older)
		if err != nil {
			t.Fatal(err)
		}
		if accepted, err := f.settle(t.Context(), older, b, f.arrived(b, nil)); accepted || err != nil {
			t.Fatal(accepted, err)
		}
		want := 0
		if i == maxTries {
			want = 1
		}
		if got := f.trust(); got.FailureCount != want {
			t.Errorf("overtaken %d times: %d failures", i+1, got.FailureCount)
		}
	}
}

// I14: behind what the session itself has proved is no other order, and other boot
// PCRs are none either.
func TestI14_OnlyWhatIsLateIsOvertaken(t *testing.T) {
	for name, lie := range map[string]func(f *fixture, by *session) wire.Evidence{
		"behind its own": func(f *fixture, _ *session) wire.Evidence { ev, _ := f.machine.Evidence(0); return ev },
		"another boot": func(f *fixture, by *session) wire.Evidence {
			boot := f.machine.Boot
			f.machine.Boot = bytes.Repeat([]byte{77}, 32)
			ev, _ := f.machine.Evidence(0)
			f.machine.Boot = boot
			*by = *f.session // of another session
			return ev
		},
	} {
		f := newFixture(t, "/bin/a")
		f.own.issued = mustNow(f).Add(-time.Second)
		by := f.session
		other := new(session)
		lied := lie(f, other)
		if other.server != nil {
			by = other
		}
		ev, b, r := f.began()
		if accepted, err := by.settle(t.Context(), ev, b, r); !accepted || err != nil {
			t.Fatal(accepted, err)
		}
		again, err := f.begin(t.Context(), lied)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.settle(t.Context(), lied, again, f.arrived(again, nil)); err != nil {
			t.Fatal(err)
		}
		if got := f.trust(); got.FailureCount != 1 {
			t.Errorf("%s: %d failures", name, got.FailureCount)
		}
	}
}

// What was judged by an old policy is judged by the one in force before new
// evidence is.
func TestI22_NewEvidenceAfterAPolicyChange(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.own.issued = mustNow(f)
	ev, b, r := f.began()
	if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if err := f.server.store.RuntimePolicies.Update(t.Context(), allow("/bin/b")); err != nil {
		t.Fatal(err)
	}
	ev, b, r = f.began()
	if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if got := f.trust(); got.Trust != wire.Untrusted || got.FailureCount != 1 {
		t.Errorf("%+v", got)
	}
}

// A reboot, and a policy taken away and given back, launder nothing.
func TestI14_PastFailuresStay(t *testing.T) {
	f := newFixture(t, "/bin/b")
	f.own.issued = mustNow(f)
	commit := func() {
		t.Helper()
		ev, b, r := f.began()
		if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
			t.Fatal(accepted, err)
		}
	}
	assign := func(name string) {
		t.Helper()
		if err := f.server.store.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &name}); err != nil {
			t.Fatal(err)
		}
		if failed := f.server.judgeAll(t.Context()); failed != 0 {
			t.Fatalf("%d were not judged again", failed)
		}
	}
	want := func(when string, n int) {
		t.Helper()
		if got := f.trust(); got.FailureCount != n {
			t.Errorf("%s: %d failures, %s", when, got.FailureCount, got.Trust)
		}
	}
	commit()
	want("at first", 1)
	f.machine.Reboot()
	ev, list := f.machine.Evidence(0)
	b, err := f.begin(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err := f.settle(t.Context(), ev, b, f.arrived(b, list)); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	want("after a reboot", 1)
	assign("")
	want("without a policy", 1)
	assign("web")
	want("with it again", 1)
	if err := f.server.store.RuntimePolicies.Update(t.Context(), allow("/bin/a")); err != nil {
		t.Fatal(err)
	}
	f.server.judgeAll(t.Context())
	want("allowed at last", 0)
}

// A stored proof that does not hold leaves an agent pending, and others judged.
func TestI10_DamagedProofIsOneAgentsTrouble(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.own.issued = mustNow(f)
	ev, b, r := f.began()
	damaged := ev
	damaged.Envelope = append([]byte{}, ev.Envelope...)
	damaged.Envelope[len(damaged.Envelope)-1] ^= 1
	if accepted, err := f.settle(t.Context(), damaged, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if err := f.server.store.RuntimePolicies.Update(t.Context(), allow("/bin/b")); err != nil {
		t.Fatal(err)
	}
	if failed := f.server.judgeAll(t.Context()); failed != 1 {
		t.Errorf("%d failed", failed)
	}
	if got := f.trust(); got.Trust != wire.Pending {
		t.Errorf("%+v", got)
	}
}

func mustNow(f *fixture) time.Time {
	f.t.Helper()
	now, err := f.server.store.Now(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return now
}

// The next challenge comes at most C after the nonce that was answered, however
// long the answer took: trust dated from there lasts until the next answer.
func TestI13_NextChallengeIsCountedFromTheNonce(t *testing.T) {
	f := newFixture(t, "/bin/a")
	issued := time.Now().Add(-time.Hour)
	for range 100 {
		f.schedule(nonce{at: issued})
		if gap := f.due.Sub(issued); gap < DefaultTiming.Challenge/2 || gap > DefaultTiming.Challenge {
			t.Fatalf("the next challenge is due %v after the nonce", gap)
		}
	}
}

// An agent that owes an answer has the whole time for it after evidence that kept
// the verifier busy; one that owes none gets none.
func TestI13_TimeForAnAnswerBeginsAgain(t *testing.T) {
	f := newFixture(t, "/bin/a")
	past := time.Now().Add(-time.Second)
	f.due = past
	f.allow()
	if !f.due.Equal(past) {
		t.Error("the next challenge was put off, and none is outstanding")
	}
	f.challenge = &nonce{}
	f.allow()
	if !f.due.After(past.Add(DefaultTiming.Answer)) {
		t.Errorf("due %v after it was", f.due.Sub(past))
	}
	later := time.Now().Add(time.Hour)
	f.due = later
	f.allow()
	if !f.due.Equal(later) {
		t.Error("time was taken away")
	}
}

// A list that is read past waits for no room.
func TestI08_Turn(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.own.issued = mustNow(f)
	ev, b, r := f.began()
	if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if err := f.server.room.large.Acquire(t.Context(), maxLists); err != nil {
		t.Fatal(err)
	}
	full, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ev, _ = f.machine.Evidence(0) // goes on after entry 2, so this is read past
	ev.IMA.Bytes = wire.MaxList
	again, err := f.begin(t.Context(), ev)
	if err != nil || !again.Resync() {
		t.Fatal(again.Resync(), err)
	}
	if _, leave, err := f.turn(full, ev, again); err != nil {
		t.Error(err)
	} else {
		leave()
	}
	if _, _, err := f.turn(full, ev, b); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with no room: %v", err)
	}
}

// I13: what is due is done before anything more is read, and what had come when an
// answer was overdue is looked through for so long, so that an agent that keeps talking
// puts off nothing. The session has no connection to read from.
func TestI13_TalkingPutsNothingOff(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.session.trust, f.challenge, f.due, f.looking = wire.Trusted, &nonce{}, time.Now().Add(-time.Second), time.Now().Add(-time.Millisecond)
	if err := f.step(t.Context()); !errors.Is(err, errSilent) {
		t.Errorf("an answer is overdue: %v", err)
	}
}

// I16: a list in a padded bank is judged again like any other, and whether that is
// accepted is the policy's.
func TestI16_PaddedListsAreJudgedAgain(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.machine.Pad()
	f.own.issued = mustNow(f)
	ev, b, r := f.began()
	if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	failures, _, err := f.server.store.Failures(t.Context(), verifiertest.AgentID)
	if err != nil || len(failures) != 1 || failures[0].ID != wire.IMAWeakDigest || f.trust().Trust != wire.Untrusted {
		t.Fatalf("%s: %+v, %v", f.trust().Trust, failures, err)
	}
	accepting := allow("/bin/a")
	accepting.Text = strings.TrimSuffix(accepting.Text, "}") + `,"ima":{"weak_digest":"accept"}}`
	accepting.Digest = hex.EncodeToString(pcr.SHA256.Sum([]byte(accepting.Text)))
	if err := f.server.store.RuntimePolicies.Update(t.Context(), accepting); err != nil {
		t.Fatal(err)
	}
	if n := f.server.judgeAll(t.Context()); n != 0 || f.trust().Trust != wire.Trusted {
		t.Errorf("%d failed, %s", n, f.trust().Trust)
	}
}
