package attack_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/rest"
)

var committing = refuser{does: "`verifier/store.Commit`: compare-and-swap on enrolment and revision, under the policy in force"}

// rounds is how often the operator changes his mind while evidence arrives.
const rounds = 6

// races have the operator act while evidence arrives without a pause, or another
// verifier (I22).
var races = []attack{
	{"evidence while the policy goes from A to B and back", committing, sight{words: "never trusted under a policy that the list does not satisfy"}, func(k *session) {
		k.measure(miner)
		k.attest()
		k.against(func(v *operator) error {
			if err := v.put(policy(miner)); err != nil {
				return err
			}
			return errors.Join(v.put(policy()), v.distrusts())
		})
		k.settles(policy(miner), wire.Trusted)
		k.settles(policy(), wire.Untrusted)
	}},
	{"evidence while the agent is given policy A, B and A again", committing, sight{words: "never trusted under a policy that the list does not satisfy"}, func(k *session) {
		k.measure(miner)
		k.attest()
		k.hasLax()
		k.against(func(v *operator) error {
			if err := v.assign(laxName); err != nil {
				return err
			}
			return errors.Join(v.assign(policyName), v.distrusts())
		})
		k.settles(policy(miner), wire.Trusted)
		k.settles(policy(), wire.Untrusted)
	}},
	{"evidence while the agent is deleted and enrolled anew", committing, sight{words: "never trusted under a policy that the list does not satisfy"}, func(k *session) {
		k.measure(miner)
		k.attest()
		k.hasLax()
		k.against(func(v *operator) error {
			if err := v.enrolAnew(laxName); err != nil {
				return err
			}
			return errors.Join(v.enrolAnew(policyName), v.distrusts())
		})
		k.settles(policy(miner), wire.Trusted)
		k.settles(policy(), wire.Untrusted)
	}},
	{"findings while the operator clears", refuser{does: "`verifier/store.Clear`: nothing is cleared that was not seen"}, sight{words: "every finding was either cleared by somebody who saw it, or stands"}, func(k *session) {
		seen := 0
		stop := k.meanwhile(func(v *operator) error {
			n, err := v.clear()
			seen += n
			return err
		})
		for i := range 3 * rounds {
			k.measure(file(fmt.Sprintf("/tmp/%d", i), "miner"))
			k.persist()
		}
		stop()
		k.clearsUnseen()
		a := k.agent()
		cleared := 0
		if a.Cleared != nil {
			cleared = a.Cleared.Count
		}
		if cleared != seen || cleared+a.FailureCount != 3*rounds+1 {
			k.t.Errorf("of %d findings %d were seen and cleared, %d are cleared, and %d stand", 3*rounds+1, seen, cleared, a.FailureCount)
		}
	}},
	{"evidence to two verifiers on one database", committing, sight{words: "one list, each entry once, and no failure"}, func(k *session) {
		address, _ := k.site.startVerifier(k.t)
		other := k.machine.dialTo(address)
		for range rounds {
			k.measure(tool)
			k.send(k.testify(k.nonce))
			other.send(other.testify(other.nonce))
			k.insist(k.verdict())
			other.insist(other.verdict())

			k.measure(tool)
			overtaken := k.testify(k.nonce)
			k.passTime()
			other.send(other.testify(other.nonce))
			other.insist(other.verdict())
			k.send(overtaken)
			k.insist(k.verdict())
		}
		if a := k.agent(); a.Trust != wire.Trusted || a.Epoch.Entries != uint64(len(k.list)) || a.FailureCount != 0 {
			k.t.Errorf("%s (%s), epoch %+v, failures %+v, want %d entries", a.Trust, a.Reason, a.Epoch, a.Failures, len(k.list))
		}
	}},
	{"a twin at another verifier that is always a step behind", ticking, sight{failure: wire.EpochRollback}, func(k *session) {
		address, _ := k.site.startVerifier(k.t)
		other := k.machine.dialTo(address)
		for range 20 {
			behind := k.testify(k.nonce)
			k.passTime()
			other.send(other.testify(other.nonce))
			if v := other.verdict(); v.Trust == wire.Untrusted {
				return
			}
			k.send(behind)
			if v := k.verdict(); v.Accepted {
				k.t.Fatalf("%+v", v)
			}
		}
	}},
}

// clearsUnseen has the operator clear what he saw before the last finding came.
func (k *session) clearsUnseen() {
	k.t.Helper()
	seen := k.agent()
	k.measure(miner)
	k.persist()
	_, err := k.site.verifier.Clear(k.t.Context(), seen)
	if e, ok := errors.AsType[*rest.Error](err); !ok || e.Code != rest.CodeConflict {
		k.t.Errorf("clearing %d failures that were seen, when there is one more: %v", seen.FailureCount, err)
	}
}

// passTime makes the TPM's clock, of milliseconds, show that time has passed.
func (m *machine) passTime() { m.t.Helper(); m.setClock(m.clock() + 1000) }

// insist sends evidence until it is accepted: the list goes on where the verdict
// said.
func (k *session) insist(v wire.Verdict) {
	k.t.Helper()
	for tries := 0; !v.Accepted; tries++ {
		if tries == 10 || v.Trust == wire.Untrusted {
			k.t.Fatalf("after %d tries: %+v", tries, v)
		}
		k.send(k.testify(k.nonce))
		v = k.verdict()
	}
}

// persist sends evidence of a machine that is not trusted until it is accepted. What the
// operator does moves the state beneath it, and an agent sends it again then, too.
func (k *session) persist() {
	k.t.Helper()
	for range 10 {
		k.send(k.testify(k.nonce))
		v := k.verdict()
		if v.Accepted {
			return
		}
		k.t.Logf("not accepted: %+v", v)
	}
	k.t.Fatal("evidence is not accepted")
}

// against has the operator act while the machine attests as fast as it can, over
// one session after the other, until there were enough of both.
func (k *session) against(act func(*operator) error) {
	k.t.Helper()
	k.conn.Close(channel.CodeDone, "")
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	var verdicts atomic.Int64
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		for i := 0; i < rounds || verdicts.Load() < rounds; i++ {
			if err := act(&operator{k.machine, ctx}); err != nil {
				return fmt.Errorf("round %d, after %d verdicts: %w", i, verdicts.Load(), err)
			}
		}
		return nil
	})
	for ctx.Err() == nil {
		k.pester(ctx, &verdicts)
	}
	if err := g.Wait(); err != nil {
		k.t.Error(err)
	}
}

// meanwhile has the operator act until the machine says stop.
func (k *session) meanwhile(act func(*operator) error) (stop func()) {
	ctx, cancel := context.WithCancel(k.t.Context())
	v := &operator{k.machine, k.t.Context()}
	var g errgroup.Group
	g.Go(func() error {
		for ctx.Err() == nil {
			if err := act(v); err != nil {
				return err
			}
		}
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			k.t.Error(err)
		}
	}
}

// pester attests until the connection ends, and counts the verdicts.
func (k *session) pester(ctx context.Context, verdicts *atomic.Int64) {
	conn, err := channel.Dial(ctx, k.dialConfig(k.site.attesting))
	if err != nil {
		return
	}
	defer conn.Close(channel.CodeDone, "")
	defer context.AfterFunc(ctx, func() { conn.Close(channel.CodeDone, "") })()
	s := &session{machine: k.machine, conn: conn}
	err = conn.Send(s.hello())
	for err == nil {
		var m wire.Message
		if m, err = conn.Receive(patience); err != nil {
			return
		}
		switch m := m.(type) {
		case wire.Welcome:
			s.welcome, s.nonce, s.from = m, m.Nonce, m.Resume.Entries
		case wire.Verdict:
			verdicts.Add(1)
			s.nonce, s.from = m.Nonce, m.Resume.Entries
		}
		t := s.testify(s.nonce)
		err = conn.Send(t.message(), t.list, t.boot)
	}
}

// settles waits until the machine, honest again, is what the policy makes it.
func (k *session) settles(text []byte, want wire.Trust) {
	k.t.Helper()
	v := operator{k.machine, k.t.Context()}
	if err := v.put(text); err != nil {
		k.t.Fatal(err)
	}
	s := k.machine.dial()
	s.send(s.testify(s.nonce))
	if got := s.verdict(); !got.Accepted {
		k.t.Errorf("%+v", got)
	}
	k.await(string(want), func(a rest.Agent) bool { return a.Trust == want })
}
