package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// memory is a Verifier that forgets.
type memory struct {
	mu       sync.Mutex
	agents   map[string]rest.Agent
	policies map[string]rest.RuntimePolicy
	boots    map[string]rest.BootPolicy
	moved    chan struct{} // closed and replaced with every change
	broken   error         // if not nil, what every call returns
	enrolled []rest.Enrolment
	searched rest.MeasurementQuery
	payload  rest.Payload
	waited   bool // for an event
	dead     []rest.DeadLetterRequest
}

func newMemory() *memory {
	return &memory{agents: map[string]rest.Agent{}, policies: map[string]rest.RuntimePolicy{}, boots: map[string]rest.BootPolicy{}, moved: make(chan struct{})}
}

// at runs f on the agent and keeps what it made of it.
func (m *memory) at(id string, f func(*rest.Agent) error) (rest.Agent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.agents[id]
	if m.broken != nil {
		return rest.Agent{}, m.broken
	}
	if !ok {
		return rest.Agent{}, rest.Errorf(rest.CodeNotFound, "agent %s is not enrolled", id)
	}
	if err := f(&a); err != nil {
		return rest.Agent{}, err
	}
	if a.Revision != m.agents[id].Revision {
		m.agents[id] = a
		close(m.moved)
		m.moved = make(chan struct{})
	}
	return a, nil
}

func (m *memory) needPolicy(name string) error {
	if _, ok := m.policies[name]; !ok && name != "" {
		return rest.Errorf(rest.CodeNotFound, "no policy %s", name)
	}
	return nil
}

func (m *memory) ListAgents(context.Context) (rest.AgentList, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.SortedFunc(maps.Values(m.agents), func(a, b rest.Agent) int { return cmp.Compare(a.ID, b.ID) })
	return rest.AgentList{Agents: all}, m.broken
}

func (m *memory) GetAgent(_ context.Context, id string) (rest.Agent, error) {
	return m.at(id, func(*rest.Agent) error { return nil })
}

func (m *memory) WaitAgent(ctx context.Context, id string, after int64) (rest.Agent, error) {
	for {
		m.mu.Lock()
		moved := m.moved
		m.mu.Unlock()
		a, err := m.GetAgent(ctx, id)
		if err != nil || a.Revision > after {
			return a, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return m.GetAgent(ctx, id)
		}
	}
}

func (m *memory) EnrolAgent(_ context.Context, e rest.Enrolment) (rest.Agent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.agents[e.ID]; ok {
		return rest.Agent{}, rest.Errorf(rest.CodeConflict, "agent %s is already enrolled", e.ID)
	}
	if err := m.needPolicy(e.Policy); err != nil {
		return rest.Agent{}, err
	}
	a := rest.Agent{ID: e.ID, Label: e.Label, Revision: 1, Trust: wire.Pending, Policies: rest.Policies{Runtime: e.Policy}}
	m.agents[e.ID] = a
	m.enrolled = append(m.enrolled, e)
	return a, nil
}

func (m *memory) UpdateAgent(_ context.Context, id string, u rest.AgentUpdate) (rest.Agent, error) {
	return m.at(id, func(a *rest.Agent) error {
		a.Revision++
		if u.Label != nil {
			a.Label = *u.Label
		}
		if u.Policy != nil {
			a.Policies.Runtime = *u.Policy
			return m.needPolicy(*u.Policy)
		}
		return nil
	})
}

func (m *memory) RebindAgent(_ context.Context, e rest.Enrolment) (rest.Agent, error) {
	return m.at(e.ID, func(a *rest.Agent) error {
		for _, old := range m.enrolled {
			if string(old.Transport) == string(e.Transport) {
				return rest.Errorf(rest.CodeConflict, "the keys are those enrolled now")
			}
		}
		a.Revision++
		m.enrolled = append(m.enrolled, e)
		return nil
	})
}

func (m *memory) ClearAgent(_ context.Context, id string, seen rest.ClearRequest) (rest.Agent, error) {
	return m.at(id, func(a *rest.Agent) error {
		if a.FailureCount != seen.Failures {
			return rest.Errorf(rest.CodeConflict, "%d failures", a.FailureCount)
		}
		a.Revision++
		a.FailureCount = 0
		return nil
	})
}

func (m *memory) DeleteAgent(_ context.Context, id string) error {
	_, err := m.at(id, func(a *rest.Agent) error { return nil })
	delete(m.agents, id)
	return err
}

func (m *memory) GetBootLog(_ context.Context, id string) (rest.BootLog, error) {
	_, err := m.at(id, func(*rest.Agent) error { return nil })
	return rest.BootLog{Log: []byte("log")}, err
}

func (m *memory) Compiled(*policy.Policy) {}

func (m *memory) RuntimePolicies() Policies[rest.RuntimePolicy] {
	return policiesInMemory[rest.RuntimePolicy]{m, "policy", m.policies, (*rest.RuntimePolicy).Common, func(p rest.Policies) string { return p.Runtime }}
}

func (m *memory) BootPolicies() Policies[rest.BootPolicy] {
	return policiesInMemory[rest.BootPolicy]{m, "boot policy", m.boots, (*rest.BootPolicy).Common, func(p rest.Policies) string { return p.Boot }}
}

// policiesInMemory are those of one kind.
type policiesInMemory[T any] struct {
	m      *memory
	kind   string
	all    map[string]T
	common func(*T) *rest.Policy
	judge  func(rest.Policies) string // name of the one that judges an agent
}

func (p policiesInMemory[T]) List(context.Context) (all []T, err error) {
	for _, one := range p.all {
		p.common(&one).Text, p.common(&one).Envelope = "", ""
		all = append(all, one)
	}
	return all, p.m.broken
}

func (p policiesInMemory[T]) Get(_ context.Context, name string) (T, error) {
	one, err := p.get(name)
	p.common(&one).Envelope = ""
	return one, err
}

func (p policiesInMemory[T]) GetSigned(_ context.Context, name string) (T, error) {
	one, err := p.get(name)
	p.common(&one).Text = ""
	return one, err
}

func (p policiesInMemory[T]) get(name string) (T, error) {
	one, ok := p.all[name]
	if !ok {
		return one, rest.Errorf(rest.CodeNotFound, "there is no %s %s", p.kind, name)
	}
	return one, nil
}

func (p policiesInMemory[T]) Add(_ context.Context, one T) (T, error) {
	if _, err := p.get(p.common(&one).Name); err == nil {
		return one, rest.Errorf(rest.CodeConflict, "there is a %s %s", p.kind, p.common(&one).Name)
	}
	return p.put(one), nil
}

func (p policiesInMemory[T]) Update(_ context.Context, one T) (T, error) {
	if _, err := p.get(p.common(&one).Name); err != nil {
		return one, err
	}
	return p.put(one), nil
}

func (p policiesInMemory[T]) put(one T) T {
	common := p.common(&one)
	p.all[common.Name] = one
	common.Text, common.Envelope = "", ""
	return one
}

func (p policiesInMemory[T]) Delete(_ context.Context, name string) error {
	for _, a := range p.m.agents {
		if p.judge(a.Policies) == name {
			return rest.Errorf(rest.CodeConflict, "%s %s is used", p.kind, name)
		}
	}
	_, err := p.get(name)
	delete(p.all, name)
	return err
}

func (m *memory) SearchMeasurements(_ context.Context, q rest.MeasurementQuery) (rest.MeasurementList, error) {
	m.searched = q
	return rest.MeasurementList{Measurements: []rest.Measurement{{Path: string(q.Path)}}}, nil
}

func (m *memory) ListEvents(ctx context.Context, after int64) (rest.EventList, error) {
	if ctx.Err() == nil {
		m.waited = true
	}
	return rest.EventList{Events: []rest.Event{{Sequence: after + 1}}, Last: after + 1}, m.broken
}

func (m *memory) LastEvents(context.Context) (rest.EventList, error) {
	return rest.EventList{Events: []rest.Event{{Sequence: 7}}, Last: 7}, m.broken
}

func (m *memory) RevocationKeys(context.Context) (rest.RevocationKeys, error) {
	return rest.RevocationKeys{Notice: []byte("key")}, m.broken
}

func (m *memory) DeadLetters(context.Context) (rest.DeadLetterList, error) {
	return rest.DeadLetterList{Waiting: 3}, m.broken
}

func (m *memory) RetryDeadLetters(_ context.Context, q rest.DeadLetterRequest) (rest.DeadLetterCount, error) {
	m.dead = append(m.dead, q)
	return rest.DeadLetterCount{Count: 1}, m.broken
}

func (m *memory) DropDeadLetters(_ context.Context, q rest.DeadLetterRequest) (rest.DeadLetterCount, error) {
	m.dead = append(m.dead, q)
	return rest.DeadLetterCount{Count: 2}, m.broken
}
