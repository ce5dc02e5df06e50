package client

import (
	"context"
	"net/url"
	"strconv"

	"quicklime/wire/rest"
)

// Agents returns every enrolled agent, without its failures.
func (v *Verifier) Agents(ctx context.Context) (rest.AgentList, error) {
	return call[rest.AgentList](ctx, v.peer, request{route: rest.ListAgents})
}

// Agent returns one agent with its failures.
func (v *Verifier) Agent(ctx context.Context, id string) (rest.Agent, error) {
	return call[rest.Agent](ctx, v.peer, request{route: rest.GetAgent, value: id})
}

// PollAgent returns the agent as soon as its revision is greater than after or
// its trust runs out, and as it is after some 25 s if neither happens.
func (v *Verifier) PollAgent(ctx context.Context, id string, after int64) (rest.Agent, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	return call[rest.Agent](ctx, v.peer, request{route: rest.GetAgent, value: id, query: query})
}

// WaitAgent returns the agent once its revision is greater than after. It waits
// until ctx ends, whose error it then returns.
func (v *Verifier) WaitAgent(ctx context.Context, id string, after int64) (rest.Agent, error) {
	for {
		a, err := v.PollAgent(ctx, id, after)
		if err != nil || a.Revision > after {
			return a, err
		}
	}
}

// Enrol makes the verifier watch an agent.
func (v *Verifier) Enrol(ctx context.Context, e rest.Enrolment) (rest.Agent, error) {
	return v.change(ctx, request{route: rest.EnrolAgent}, e)
}

// Update gives an agent another policy or label.
func (v *Verifier) Update(ctx context.Context, id string, u rest.AgentUpdate) (rest.Agent, error) {
	return v.change(ctx, request{route: rest.UpdateAgent, value: id}, u)
}

// Rebind enrols a known agent anew with other keys.
func (v *Verifier) Rebind(ctx context.Context, e rest.Enrolment) (rest.Agent, error) {
	return v.change(ctx, request{route: rest.RebindAgent, value: e.ID}, e)
}

// Clear clears an agent's failures, if they are those that the operator has seen.
func (v *Verifier) Clear(ctx context.Context, seen rest.Agent) (rest.Agent, error) {
	return v.change(ctx, request{route: rest.ClearAgent, value: seen.ID}, rest.ClearRequest{Failures: seen.FailureCount, Listed: seen.FailuresListed})
}

// Delete ends an agent's enrolment.
func (v *Verifier) Delete(ctx context.Context, id string) error {
	return v.do(ctx, request{route: rest.DeleteAgent, value: id}, nil)
}

// change makes a call with a body whose answer is the agent as it is then.
func (v *Verifier) change(ctx context.Context, r request, body any) (rest.Agent, error) {
	r, err := r.with(body)
	if err != nil {
		return rest.Agent{}, err
	}
	return call[rest.Agent](ctx, v.peer, r)
}

// BootLog returns the log of an agent's boot.
func (v *Verifier) BootLog(ctx context.Context, id string) (rest.BootLog, error) {
	return call[rest.BootLog](ctx, v.peer, request{route: rest.GetBootLog, value: id})
}
