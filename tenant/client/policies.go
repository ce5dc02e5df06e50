package client

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"quicklime/wire/rest"
)

// Policies are the verifier's policies of one kind: T is rest.RuntimePolicy or
// rest.BootPolicy.
type Policies[T any] struct {
	peer   *peer
	routes rest.PolicyRoutes
}

// RuntimePolicies returns the runtime policies.
func (v *Verifier) RuntimePolicies() Policies[rest.RuntimePolicy] {
	return Policies[rest.RuntimePolicy]{v.peer, rest.RuntimePolicyRoutes}
}

// BootPolicies returns the boot policies.
func (v *Verifier) BootPolicies() Policies[rest.BootPolicy] {
	return Policies[rest.BootPolicy]{v.peer, rest.BootPolicyRoutes}
}

// List returns every policy, without its text.
func (p Policies[T]) List(ctx context.Context) (rest.PolicyList[T], error) {
	return call[rest.PolicyList[T]](ctx, p.peer, request{route: p.routes.List})
}

// Get returns one policy, its text to the byte.
func (p Policies[T]) Get(ctx context.Context, name string) (T, error) {
	return call[T](ctx, p.peer, request{route: p.routes.Get, value: name})
}

// GetSigned returns one policy in the envelope that came, to the byte.
func (p Policies[T]) GetSigned(ctx context.Context, name string) (T, error) {
	return call[T](ctx, p.peer, request{route: p.routes.GetSigned, value: name})
}

// Add stores text as a new policy, signed or not.
func (p Policies[T]) Add(ctx context.Context, name string, text []byte) (T, error) {
	return p.store(ctx, request{route: p.routes.Add}, name, text)
}

// Update replaces a policy; every agent under it is judged again.
func (p Policies[T]) Update(ctx context.Context, name string, text []byte) (T, error) {
	return p.store(ctx, request{route: p.routes.Update, value: name}, name, text)
}

// Delete deletes a policy that no agent uses.
func (p Policies[T]) Delete(ctx context.Context, name string) error {
	return p.peer.do(ctx, request{route: p.routes.Delete, value: name}, nil)
}

// store sends a policy.
func (p Policies[T]) store(ctx context.Context, r request, name string, text []byte) (out T, err error) {
	if !utf8.Valid(text) {
		return out, errors.New("the policy is not UTF-8")
	}
	if r.body, err = json.Marshal(rest.PolicyRequest{Name: name, Text: rest.Text(text)}); err != nil {
		return out, err
	}
	return call[T](ctx, p.peer, r)
}
