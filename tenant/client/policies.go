package client

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"quicklime/wire/rest"
)

// Policies returns every runtime policy, without its text.
func (v *Verifier) Policies(ctx context.Context) (rest.PolicyList, error) {
	return call[rest.PolicyList](ctx, v.peer, request{route: rest.ListPolicies})
}

// Policy returns one runtime policy, its text to the byte.
func (v *Verifier) Policy(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return call[rest.RuntimePolicy](ctx, v.peer, request{route: rest.GetPolicy, value: name})
}

// SignedPolicy returns one runtime policy in the envelope that came, to the byte.
func (v *Verifier) SignedPolicy(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return call[rest.RuntimePolicy](ctx, v.peer, request{route: rest.GetSignedPolicy, value: name})
}

// AddPolicy stores text as a new runtime policy, signed or not.
func (v *Verifier) AddPolicy(ctx context.Context, name string, text []byte) (rest.RuntimePolicy, error) {
	return v.store(ctx, request{route: rest.AddPolicy}, name, text)
}

// UpdatePolicy replaces a runtime policy; every agent under it is judged again.
func (v *Verifier) UpdatePolicy(ctx context.Context, name string, text []byte) (rest.RuntimePolicy, error) {
	return v.store(ctx, request{route: rest.UpdatePolicy, value: name}, name, text)
}

// DeletePolicy deletes a runtime policy that no agent uses.
func (v *Verifier) DeletePolicy(ctx context.Context, name string) error {
	return v.do(ctx, request{route: rest.DeletePolicy, value: name}, nil)
}

// store sends a policy.
func (v *Verifier) store(ctx context.Context, r request, name string, text []byte) (rest.RuntimePolicy, error) {
	if !utf8.Valid(text) {
		return rest.RuntimePolicy{}, errors.New("the policy is not UTF-8")
	}
	body, err := json.Marshal(rest.PolicyRequest{Name: name, Text: rest.Text(text)})
	if err != nil {
		return rest.RuntimePolicy{}, err
	}
	r.body = body
	return call[rest.RuntimePolicy](ctx, v.peer, r)
}
