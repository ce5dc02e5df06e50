package verifier

import (
	"context"

	"quicklime/verifier/api"
	"quicklime/verifier/policy"
	"quicklime/verifier/store"
	"quicklime/wire/rest"
)

// RuntimePolicies implements api.Verifier.
func (v service) RuntimePolicies() api.Policies[rest.RuntimePolicy] {
	return policies[rest.RuntimePolicy]{v, v.store.RuntimePolicies, "policy", (*rest.RuntimePolicy).Common}
}

// BootPolicies implements api.Verifier.
func (v service) BootPolicies() api.Policies[rest.BootPolicy] {
	return policies[rest.BootPolicy]{v, v.store.BootPolicies, "boot policy", (*rest.BootPolicy).Common}
}

// Compiled implements api.Verifier.
func (v service) Compiled(p *policy.Policy) { v.policies.Add(p) }

// prune forgets compiled policies that nobody has any more.
func (v service) prune(ctx context.Context) error {
	digests, err := v.store.RuntimePolicies.Digests(ctx)
	if err != nil {
		return err
	}
	return v.policies.Keep(digests)
}

// policies implements api.Policies.
type policies[T any] struct {
	service
	store  store.Policies[T]
	kind   string // in words
	common func(*T) *rest.Policy
}

func (p policies[T]) List(ctx context.Context) ([]T, error) { return p.store.List(ctx) }

func (p policies[T]) Get(ctx context.Context, name string) (T, error) {
	out, err := p.store.Get(ctx, name)
	return out, p.refusal(err, name)
}

func (p policies[T]) GetSigned(ctx context.Context, name string) (T, error) {
	out, err := p.store.Signed(ctx, name)
	common := p.common(&out)
	if err == nil && common.Envelope == "" {
		return out, rest.Errorf(rest.CodeNotFound, "%s %s is not signed", p.kind, name).WithHint("it was added as it is; its text is all there is")
	}
	common.Text = "" // the envelope has it
	return out, p.refusal(err, name)
}

func (p policies[T]) Add(ctx context.Context, in T) (T, error) {
	defer p.prune(context.WithoutCancel(ctx))
	if err := p.store.Add(ctx, in); err != nil {
		return in, p.refusal(err, p.common(&in).Name)
	}
	return p.stored(ctx, in)
}

func (p policies[T]) Update(ctx context.Context, in T) (T, error) {
	defer p.prune(context.WithoutCancel(ctx))
	if err := p.store.Update(ctx, in); err != nil {
		return in, p.refusal(err, p.common(&in).Name)
	}
	p.sessions.PolicyChanged()
	return p.stored(ctx, in)
}

func (p policies[T]) Delete(ctx context.Context, name string) error {
	defer p.prune(context.WithoutCancel(ctx))
	return p.refusal(p.store.Delete(ctx, name), name)
}

// stored is a policy that was added or replaced, as it is now, without its text and
// with what there is to say of it.
func (p policies[T]) stored(ctx context.Context, in T) (T, error) {
	name := p.common(&in).Name
	out, err := p.store.Summary(ctx, name)
	p.common(&out).Warnings = p.common(&in).Warnings
	return out, p.refusal(err, name)
}

func (p policies[T]) refusal(err error, name string) error { return refusal(err, p.kind+" "+name) }
