package session

import (
	"errors"
	"slices"
	"testing"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// platformFixture is a session of a machine that has booted by a captured log.
type platformFixture struct {
	*fixture
	log     []byte
	systemd []byte // systemd's own log; nil: none is sent
}

func newPlatform(t *testing.T, log []byte) *platformFixture {
	t.Helper()
	f := &platformFixture{fixture: newFixture(t, "/bin/a"), log: log}
	f.own.issued = mustNow(f.fixture)
	f.booted(log)
	return f
}

// booted boots the machine anew, whose session goes on.
func (f *platformFixture) booted(log []byte) {
	f.log = log
	f.machine.Booted(log)
	f.machine.File("/bin/a", good)
}

// welcomed is the session's beginning.
func (f *platformFixture) welcomed() {
	f.t.Helper()
	var err error
	if f.standing, err = f.server.store.Standing(f.t.Context(), f.enrolment); err != nil {
		f.t.Fatal(err)
	}
	err = errors.Join(f.choose(wire.Hello{Banks: []pcr.Bank{pcr.SHA1, pcr.SHA256}, Aggregate: pcr.SHA256}, false), f.widen(f.t.Context()))
	if err != nil {
		f.t.Fatal(err)
	}
	f.machine.Selection = f.selection
}

// attest commits evidence, with the logs unless there is none.
func (f *platformFixture) attest() {
	f.t.Helper()
	ev, b, r := f.began()
	r.logs.Boot, r.logs.Systemd = f.log, f.systemd
	if accepted, err := f.settle(f.t.Context(), ev, b, r); !accepted || err != nil {
		f.t.Fatal(accepted, err)
	}
}

// want checks what the operator is told.
func (f *platformFixture) want(when string, trust wire.Trust, ids ...wire.FailureID) rest.Agent {
	f.t.Helper()
	a := f.trust()
	failures, _, err := f.server.store.Failures(f.t.Context(), verifiertest.AgentID)
	if err != nil {
		f.t.Fatal(err)
	}
	conditions, err := f.server.store.Conditions(f.t.Context(), verifiertest.AgentID)
	if err != nil {
		f.t.Fatal(err)
	}
	var got []wire.FailureID
	for _, x := range slices.Concat(failures, conditions) {
		if got = append(got, x.ID); x.Entry != nil {
			f.t.Errorf("%s: %s is said to be of entry %d", when, x.ID, *x.Entry)
		}
	}
	if a.Trust != trust || !slices.Equal(got, ids) {
		f.t.Errorf("%s: %s (%s) for %v %+v", when, a.Trust, a.Reason, got, failures)
	}
	return a
}

// judged has every agent judged again, by nothing but what is stored.
func (f *platformFixture) judged() {
	f.t.Helper()
	if failed := f.server.judgeAll(f.t.Context()); failed != 0 {
		f.t.Fatalf("%d were not judged again", failed)
	}
}

func (f *platformFixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *platformFixture) update(u rest.AgentUpdate) {
	f.t.Helper()
	f.must(f.server.store.Update(f.t.Context(), verifiertest.AgentID, u))
}

// assign gives the machine the boot policy "front"; "" takes it away.
func (f *platformFixture) assign(name string) { f.update(rest.AgentUpdate{BootPolicy: &name}) }

// add adds or replaces the boot policy "front", under which the boots of some logs
// are accepted.
func (f *platformFixture) add(logs ...[]byte) {
	f.t.Helper()
	p := referenceTo(f.t, logs...)
	if err := f.server.store.BootPolicies.Update(f.t.Context(), p); err != nil {
		f.must(f.server.store.BootPolicies.Add(f.t.Context(), p))
	}
}
