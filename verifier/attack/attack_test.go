package attack_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestMain(m *testing.M) { os.Exit(swtpmtest.Main(m)) }

// attack is what a machine does that was trusted until then.
type attack struct {
	name    string
	refuser refuser
	seen    sight
	do      func(k *session) // k is live, and its machine is trusted
}

// refuser is what refuses an attack.
type refuser struct {
	does string // for docs/threat-model.md, as "`package.Function`: what it insists on"
	says string // part of the message by which it refuses, if it does so with a rejection or a failure
}

// group is attacks that are tried one after the other on one machine, which is
// booted and enrolled anew for each.
type group struct {
	name    string
	timing  timing
	attacks []attack
	boots   bool // the machine boots by a log, which a boot policy allows
}

var groups = []group{
	{name: "lists", timing: patient, attacks: slices.Concat(alteredLists, hiddenLists, untiedLists)},
	{name: "quotes", timing: patient, attacks: slices.Concat(selections, forgeries, objects)},
	{name: "sessions", timing: patient, attacks: replays},
	{name: "silence", timing: brisk, attacks: silences},
	{name: "evasion", timing: brisk, attacks: evasions},
	{name: "boots", timing: patient, attacks: boots},
	{name: "measured", timing: patient, attacks: measured, boots: true},
	{name: "clearing", timing: brisk, attacks: clearings},
	{name: "clones", timing: patient, attacks: clones},
	{name: "races", timing: patient, attacks: races},
	{name: "floods", timing: patient, attacks: floods},
	{name: "limits", timing: patient, attacks: limits},
}

// atOnce bounds the groups that are tried at one time: some wait most of the time.
const atOnce = 4

func TestAttacks(t *testing.T) {
	var running errgroup.Group
	running.SetLimit(atOnce)
	for _, g := range groups {
		running.Go(func() error {
			t.Run(g.name, g.run)
			return nil
		})
	}
	running.Wait()
}

func (g group) run(t *testing.T) {
	m := newMachine(t, newSite(t, g.timing, severities[g.name]...))
	if g.boots {
		m.allowBoot(goodBoot(t))
	}
	for _, a := range g.attacks {
		t.Run(strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) { a.try(m.begin(t)) })
	}
}

// try shows that the machine is trusted as long as it is honest, and then not.
func (a attack) try(m *machine) {
	k := m.honest()
	before := m.agent()
	a.do(k)
	a.seen.check(m, before, a.refuser.says)
}

// sight is what an operator sees of a machine after an attack.
type sight struct {
	failure   wire.FailureID // stands, and the machine is untrusted
	rejection wire.FailureID // is recorded, and trust ends when it would have ended
	stale     bool           // trust ran out
	words     string         // what the attack itself checks
}

// String is for docs/threat-model.md.
func (s sight) String() string {
	switch {
	case s.failure != "":
		return fmt.Sprintf("untrusted, failure `%s`", s.failure)
	case s.rejection != "":
		return fmt.Sprintf("last rejected `%s`; trust ends when it would have", s.rejection)
	case s.stale && s.words != "":
		return "stale; " + s.words
	case s.stale:
		return "stale"
	}
	return s.words
}

// check waits for the sight, whose message has says in it.
func (s sight) check(m *machine, before rest.Agent, says string) {
	m.t.Helper()
	switch {
	case s.failure != "":
		m.await(fmt.Sprintf("untrusted for %s (%s)", s.failure, says), func(a rest.Agent) bool { return a.Trust == wire.Untrusted && failed(a, s.failure, says) })
	case s.rejection != "":
		after := m.await("a rejection", func(a rest.Agent) bool { return rejections(a) > rejections(before) })
		if r := after.Rejected; r.ID != s.rejection || !strings.Contains(r.Message, says) {
			m.t.Errorf("rejected for %s (%s), want %s (%s)", r.ID, r.Message, s.rejection, says)
		}
		m.notExtended(before, after)
	case s.stale:
		m.await("stale", func(a rest.Agent) bool { return a.Trust == wire.Stale })
	}
}

func failed(a rest.Agent, id wire.FailureID, says string) bool {
	return slices.ContainsFunc(a.Failures, func(f wire.Failure) bool { return f.ID == id && strings.Contains(f.Message, says) })
}

func rejections(a rest.Agent) int64 {
	if a.Rejected == nil {
		return 0
	}
	return a.Rejected.Count
}

// notExtended checks that nothing was accepted and no trust was won.
func (m *machine) notExtended(before, after rest.Agent) {
	m.t.Helper()
	if *after.Last != *before.Last || !after.FreshUntil.Equal(*before.FreshUntil) {
		m.t.Errorf("trusted until %v by %+v, before the attack until %v by %+v", after.FreshUntil, after.Last, before.FreshUntil, before.Last)
	}
}
