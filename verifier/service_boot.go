package verifier

import (
	"context"
	"errors"

	"quicklime/verifier/store"
	"quicklime/wire/rest"
)

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

// ListBootPolicies implements api.Verifier.
func (v service) ListBootPolicies(ctx context.Context) (rest.BootPolicyList, error) {
	all, err := v.store.BootPolicies(ctx)
	return rest.BootPolicyList{Policies: all}, err
}

// GetBootPolicy implements api.Verifier.
func (v service) GetBootPolicy(ctx context.Context, name string) (rest.BootPolicy, error) {
	p, err := v.store.BootPolicy(ctx, name)
	return p, refusal(err, "boot policy "+name)
}

// AddBootPolicy implements api.Verifier.
func (v service) AddBootPolicy(ctx context.Context, p rest.BootPolicy) (rest.BootPolicy, error) {
	if err := v.store.AddBootPolicy(ctx, p); err != nil {
		return p, refusal(err, "boot policy "+p.Name)
	}
	return v.storedBoot(ctx, p)
}

// UpdateBootPolicy implements api.Verifier.
func (v service) UpdateBootPolicy(ctx context.Context, p rest.BootPolicy) (rest.BootPolicy, error) {
	if err := v.store.UpdateBootPolicy(ctx, p); err != nil {
		return p, refusal(err, "boot policy "+p.Name)
	}
	v.sessions.PolicyChanged()
	return v.storedBoot(ctx, p)
}

// DeleteBootPolicy implements api.Verifier.
func (v service) DeleteBootPolicy(ctx context.Context, name string) error {
	return refusal(v.store.DeleteBootPolicy(ctx, name), "boot policy "+name)
}

// storedBoot is a boot policy that was added or replaced, as it is now, without its
// text and with what there is to say of it.
func (v service) storedBoot(ctx context.Context, in rest.BootPolicy) (rest.BootPolicy, error) {
	p, err := v.store.BootPolicy(ctx, in.Name)
	p.Text, p.Warnings = "", in.Warnings
	return p, refusal(err, "boot policy "+in.Name)
}
