package tenant

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"quicklime/wire/rest"
)

// A known machine is what registrar and verifier say of one id. One of the two
// may be nil.
type known struct {
	id      string
	machine *rest.Machine
	agent   *rest.Agent
}

// label is the operator's label if the agent is enrolled, else the registrar's.
func (k known) label() string {
	if k.agent != nil {
		return k.agent.Label
	}
	return k.machine.Label
}

// labelled reports whether one of the two knows the machine by the label.
func (k known) labelled(label string) bool {
	return k.machine != nil && k.machine.Label == label || k.agent != nil && k.agent.Label == label
}

// An inventory is what both servers know, ordered by label, then id.
type inventory struct {
	machines   []known
	registrar  error // why the registrar did not answer; nil: it did
	verifier   error
	unreadable int // rows that the servers could not read (I10)
}

// A reach is which servers a command cannot do without.
type reach struct{ registrar, verifier bool }

// missing is why servers that are needed did not answer, nil if all of those did.
func (i inventory) missing(needs reach) error {
	var errs []error
	if needs.registrar {
		errs = append(errs, i.registrar)
	}
	if needs.verifier {
		errs = append(errs, i.verifier)
	}
	if errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(errs) == 2 && errs[0].Error() == errs[1].Error() {
		return errs[0] // both refuse the certificate
	}
	return errors.Join(errs...)
}

// err is what went wrong, nil if both answered.
func (i inventory) err() error { return i.missing(reach{registrar: true, verifier: true}) }

// inventory asks both servers at the same time.
func (s servers) inventory(ctx context.Context) inventory {
	var (
		i        inventory
		machines rest.MachineList
		agents   rest.AgentList
		both     sync.WaitGroup
	)
	both.Go(func() { machines, i.registrar = s.registrar.Machines(ctx) })
	both.Go(func() { agents, i.verifier = s.verifier.Agents(ctx) })
	both.Wait()
	i.unreadable = machines.Unreadable + agents.Unreadable
	i.machines = merge(machines.Agents, agents.Agents)
	return i
}

// merge joins what both servers know by id.
func merge(machines []rest.Machine, agents []rest.Agent) []known {
	byID := map[string]known{}
	for i, m := range machines {
		byID[m.ID] = known{id: m.ID, machine: &machines[i]}
	}
	for i, a := range agents {
		k := byID[a.ID]
		byID[a.ID] = known{id: a.ID, machine: k.machine, agent: &agents[i]}
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b known) int {
		return cmp.Or(strings.Compare(a.label(), b.label()), strings.Compare(a.id, b.id))
	})
}
