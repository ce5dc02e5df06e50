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

func (m *memory) ListPolicies(context.Context) (rest.PolicyList, error) {
	l := rest.PolicyList{}
	for _, p := range m.policies {
		p.Text = ""
		l.Policies = append(l.Policies, p)
	}
	return l, m.broken
}

func (m *memory) GetPolicy(_ context.Context, name string) (rest.RuntimePolicy, error) {
	p := m.policies[name]
	p.Envelope = ""
	return p, m.needPolicy(name)
}

func (m *memory) GetSignedPolicy(_ context.Context, name string) (rest.RuntimePolicy, error) {
	p := m.policies[name]
	p.Text = ""
	return p, m.needPolicy(name)
}

func (m *memory) AddPolicy(_ context.Context, p rest.RuntimePolicy, _ *policy.Policy) (rest.RuntimePolicy, error) {
	if _, ok := m.policies[p.Name]; ok {
		return rest.RuntimePolicy{}, rest.Errorf(rest.CodeConflict, "there is a policy %s", p.Name)
	}
	m.policies[p.Name] = p
	p.Text, p.Envelope = "", ""
	return p, nil
}

func (m *memory) UpdatePolicy(_ context.Context, p rest.RuntimePolicy, _ *policy.Policy) (rest.RuntimePolicy, error) {
	if err := m.needPolicy(p.Name); err != nil {
		return rest.RuntimePolicy{}, err
	}
	m.policies[p.Name] = p
	p.Text, p.Envelope = "", ""
	return p, nil
}

func (m *memory) DeletePolicy(_ context.Context, name string) error {
	for _, a := range m.agents {
		if a.Policies.Runtime == name {
			return rest.Errorf(rest.CodeConflict, "policy %s is used", name)
		}
	}
	err := m.needPolicy(name)
	delete(m.policies, name)
	return err
}

func (m *memory) ListBootPolicies(context.Context) (rest.BootPolicyList, error) {
	l := rest.BootPolicyList{}
	for _, p := range m.boots {
		p.Text = ""
		l.Policies = append(l.Policies, p)
	}
	return l, m.broken
}

func (m *memory) GetBootLog(_ context.Context, id string) (rest.BootLog, error) {
	_, err := m.at(id, func(*rest.Agent) error { return nil })
	return rest.BootLog{Log: []byte("log")}, err
}

func (m *memory) GetBootPolicy(_ context.Context, name string) (rest.BootPolicy, error) {
	return m.boots[name], m.needBoot(name)
}

func (m *memory) AddBootPolicy(_ context.Context, p rest.BootPolicy) (rest.BootPolicy, error) {
	if _, ok := m.boots[p.Name]; ok {
		return rest.BootPolicy{}, rest.Errorf(rest.CodeConflict, "there is a boot policy %s", p.Name)
	}
	m.boots[p.Name] = p
	p.Text = ""
	return p, nil
}

func (m *memory) UpdateBootPolicy(_ context.Context, p rest.BootPolicy) (rest.BootPolicy, error) {
	if err := m.needBoot(p.Name); err != nil {
		return rest.BootPolicy{}, err
	}
	m.boots[p.Name] = p
	p.Text = ""
	return p, nil
}

func (m *memory) DeleteBootPolicy(_ context.Context, name string) error {
	for _, a := range m.agents {
		if a.Policies.Boot == name {
			return rest.Errorf(rest.CodeConflict, "boot policy %s is used", name)
		}
	}
	err := m.needBoot(name)
	delete(m.boots, name)
	return err
}

// needBoot refuses a boot policy that is not there.
func (m *memory) needBoot(name string) error {
	if _, ok := m.boots[name]; !ok && name != "" {
		return rest.Errorf(rest.CodeNotFound, "there is no boot policy %s", name)
	}
	return nil
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
