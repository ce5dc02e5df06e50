package verifier

import (
	"context"
	"errors"
	"strings"

	"quicklime/verifier/api"
	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/policycache"
	"quicklime/verifier/revocation"
	"quicklime/verifier/session"
	"quicklime/verifier/store"
	"quicklime/wire/rest"
)

// service is the verifier as its REST API sees it: the store, and the sessions
// that have to hear of a change.
type service struct {
	store    *store.Store
	policies *policycache.Cache
	sessions *session.Server
	keys     revocation.Keys
}

// ListAgents implements api.Verifier.
func (v service) ListAgents(ctx context.Context) (rest.AgentList, error) {
	l, err := v.store.Agents(ctx)
	for i := range l.Agents {
		l.Agents[i].Connected = v.sessions.Connected(l.Agents[i].ID)
		l.Agents[i].Notices = v.sessions.Notices(l.Agents[i].ID)
	}
	return l, err
}

// GetAgent implements api.Verifier.
func (v service) GetAgent(ctx context.Context, id string) (rest.Agent, error) {
	a, err := v.store.Agent(ctx, id)
	if err != nil {
		return a, refusal(err, "agent "+id[:12])
	}
	a.Connected, a.Notices = v.sessions.Connected(id), v.sessions.Notices(id)
	if a.Conditions, err = v.store.Conditions(ctx, id); err != nil {
		return a, err
	}
	a.Failures, a.FailuresListed, err = v.store.Failures(ctx, id)
	return a, err
}

// WaitAgent implements api.Verifier.
func (v service) WaitAgent(ctx context.Context, id string, after int64) (rest.Agent, error) {
	for {
		a, err := v.waitOnce(ctx, id, after)
		if err != nil || a.Revision > after || ctx.Err() != nil {
			return a, err
		}
	}
}

// waitOnce returns the agent at once if its revision is greater than after, else
// as it is at its next change or when ctx ends.
func (v service) waitOnce(ctx context.Context, id string, after int64) (rest.Agent, error) {
	changed, leave := v.store.Changed(id)
	defer leave()
	a, err := v.GetAgent(context.WithoutCancel(ctx), id)
	if err != nil || a.Revision > after {
		return a, err
	}
	select {
	case <-changed:
	case <-ctx.Done(): // trust may have run out meanwhile
	}
	return v.GetAgent(context.WithoutCancel(ctx), id)
}

// EnrolAgent implements api.Verifier.
func (v service) EnrolAgent(ctx context.Context, e rest.Enrolment) (rest.Agent, error) {
	if err := v.store.Enrol(ctx, e); err != nil {
		return rest.Agent{}, enrolRefusal(err, e, "agent "+e.ID[:12]+" or its transport key is enrolled already")
	}
	return v.GetAgent(ctx, e.ID)
}

// RebindAgent implements api.Verifier.
func (v service) RebindAgent(ctx context.Context, e rest.Enrolment) (rest.Agent, error) {
	if _, err := v.store.Agent(ctx, e.ID); err != nil {
		return rest.Agent{}, refusal(err, "agent "+e.ID[:12])
	}
	ended, err := v.store.Rebind(ctx, e)
	if err != nil {
		return rest.Agent{}, enrolRefusal(err, e, "agent "+e.ID[:12]+" is enrolled with these keys, or another agent is")
	}
	v.sessions.End(e.ID, ended)
	return v.GetAgent(ctx, e.ID)
}

// UpdateAgent implements api.Verifier.
func (v service) UpdateAgent(ctx context.Context, id string, u rest.AgentUpdate) (rest.Agent, error) {
	a, err := v.store.Agent(ctx, id)
	if err != nil {
		return a, refusal(err, "agent "+id[:12])
	}
	if u.TPMPolicy != nil && *u.TPMPolicy != "" {
		p, err := pcrpolicy.Parse([]byte(*u.TPMPolicy))
		if err == nil {
			err = api.WeakTPMPolicy(p, a.LowestBank)
		}
		if err != nil {
			return a, err
		}
	}
	if err := v.store.Update(ctx, id, u); err != nil {
		return a, refusal(err, named(u.Policy, u.BootPolicy))
	}
	v.sessions.PolicyChanged()
	return v.GetAgent(ctx, id)
}

// ClearAgent implements api.Verifier.
func (v service) ClearAgent(ctx context.Context, id string, seen rest.ClearRequest) (rest.Agent, error) {
	err := v.store.Clear(ctx, id, seen)
	if errors.Is(err, store.ErrConflict) {
		return rest.Agent{}, rest.Errorf(rest.CodeConflict, "agent %s does not have these %d failures any more", id[:12], seen.Failures)
	}
	if err != nil {
		return rest.Agent{}, refusal(err, "agent "+id[:12])
	}
	v.sessions.PolicyChanged() // what was beyond the limit is found again
	return v.GetAgent(ctx, id)
}

// DeleteAgent implements api.Verifier.
func (v service) DeleteAgent(ctx context.Context, id string) error {
	ended, err := v.store.Delete(ctx, id)
	if err != nil {
		return refusal(err, "agent "+id[:12])
	}
	v.sessions.End(id, ended)
	return nil
}

// GetBootLog implements api.Verifier.
func (v service) GetBootLog(ctx context.Context, id string) (rest.BootLog, error) {
	if _, err := v.store.Agent(ctx, id); err != nil {
		return rest.BootLog{}, refusal(err, "agent "+id[:12])
	}
	l, err := v.sessions.BootLog(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return l, rest.Errorf(rest.CodeNotFound, "agent %s has sent no boot log", id[:12]).
			WithHint("it comes with the first evidence of a boot; the agent's log says if there is none, or it cannot be read")
	}
	return l, err
}

// SearchMeasurements implements api.Verifier.
func (v service) SearchMeasurements(ctx context.Context, q rest.MeasurementQuery) (rest.MeasurementList, error) {
	return v.store.Search(ctx, q)
}

// refusal puts the store's refusals into the API's words.
func refusal(err error, what string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rest.Errorf(rest.CodeNotFound, "there is no %s", what)
	case errors.Is(err, store.ErrConflict):
		return rest.Errorf(rest.CodeConflict, "%s exists already", what)
	case errors.Is(err, store.ErrInUse):
		return rest.Errorf(rest.CodeConflict, "an agent is judged by %s", what)
	}
	return err
}

func enrolRefusal(err error, e rest.Enrolment, conflict string) error {
	if errors.Is(err, store.ErrConflict) {
		return rest.Errorf(rest.CodeConflict, "%s", conflict)
	}
	return refusal(err, named(&e.Policy, &e.BootPolicy))
}

// named are the policies that somebody named, of which one is not there.
func named(runtime, boot *string) string {
	var all []string
	if runtime != nil && *runtime != "" {
		all = append(all, "policy "+*runtime)
	}
	if boot != nil && *boot != "" {
		all = append(all, "boot policy "+*boot)
	}
	return strings.Join(all, ", or no ")
}
