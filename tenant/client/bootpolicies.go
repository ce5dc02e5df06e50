package client

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"quicklime/wire/rest"
)

// BootLog returns the log of an agent's boot.
func (v *Verifier) BootLog(ctx context.Context, id string) (rest.BootLog, error) {
	return call[rest.BootLog](ctx, v.peer, request{route: rest.GetBootLog, value: id})
}

// BootPolicies returns every boot policy, without its text.
func (v *Verifier) BootPolicies(ctx context.Context) (rest.BootPolicyList, error) {
	return call[rest.BootPolicyList](ctx, v.peer, request{route: rest.ListBootPolicies})
}

// BootPolicy returns one boot policy, its text to the byte.
func (v *Verifier) BootPolicy(ctx context.Context, name string) (rest.BootPolicy, error) {
	return call[rest.BootPolicy](ctx, v.peer, request{route: rest.GetBootPolicy, value: name})
}

// AddBootPolicy stores text as a new boot policy.
func (v *Verifier) AddBootPolicy(ctx context.Context, name string, text []byte) (rest.BootPolicy, error) {
	return v.storeBoot(ctx, request{route: rest.AddBootPolicy}, name, text)
}

// UpdateBootPolicy replaces a boot policy; every agent under it is judged again.
func (v *Verifier) UpdateBootPolicy(ctx context.Context, name string, text []byte) (rest.BootPolicy, error) {
	return v.storeBoot(ctx, request{route: rest.UpdateBootPolicy, value: name}, name, text)
}

// DeleteBootPolicy deletes a boot policy that no agent uses.
func (v *Verifier) DeleteBootPolicy(ctx context.Context, name string) error {
	return v.do(ctx, request{route: rest.DeleteBootPolicy, value: name}, nil)
}

// storeBoot sends a boot policy.
func (v *Verifier) storeBoot(ctx context.Context, r request, name string, text []byte) (rest.BootPolicy, error) {
	if !utf8.Valid(text) {
		return rest.BootPolicy{}, errors.New("the boot policy is not UTF-8")
	}
	body, err := json.Marshal(rest.BootPolicyRequest{Name: name, Text: rest.Text(text)})
	if err != nil {
		return rest.BootPolicy{}, err
	}
	r.body = body
	return call[rest.BootPolicy](ctx, v.peer, r)
}
