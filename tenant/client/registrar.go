package client

import (
	"context"

	"quicklime/wire/rest"
)

// Machines returns every TPM the registrar knows.
func (r *Registrar) Machines(ctx context.Context) (rest.MachineList, error) {
	return call[rest.MachineList](ctx, r.peer, request{route: rest.ListMachines})
}

// Machine returns one TPM by its id.
func (r *Registrar) Machine(ctx context.Context, id string) (rest.Machine, error) {
	return call[rest.Machine](ctx, r.peer, request{route: rest.GetMachine, value: id})
}

// DeleteMachine makes the registrar forget a TPM.
func (r *Registrar) DeleteMachine(ctx context.Context, id string) error {
	return r.do(ctx, request{route: rest.DeleteMachine, value: id}, nil)
}

// AcceptKeys makes the keys that the TPM last offered the ones in force, if
// their hash (see rest.AcceptKeysRequest) is keysHash.
func (r *Registrar) AcceptKeys(ctx context.Context, id, keysHash string) (rest.Machine, error) {
	req, err := request{route: rest.AcceptKeys, value: id}.with(rest.AcceptKeysRequest{KeysHash: keysHash})
	if err != nil {
		return rest.Machine{}, err
	}
	return call[rest.Machine](ctx, r.peer, req)
}

// CreateJoinToken makes a registration secret.
func (r *Registrar) CreateJoinToken(ctx context.Context, t rest.JoinTokenRequest) (rest.JoinTokenSecret, error) {
	req, err := request{route: rest.CreateJoinToken}.with(t)
	if err != nil {
		return rest.JoinTokenSecret{}, err
	}
	return call[rest.JoinTokenSecret](ctx, r.peer, req)
}

// JoinTokens returns the registration secrets the registrar remembers, without
// the secrets.
func (r *Registrar) JoinTokens(ctx context.Context) (rest.JoinTokenList, error) {
	return call[rest.JoinTokenList](ctx, r.peer, request{route: rest.ListJoinTokens})
}

// DeleteJoinToken makes a registration secret worthless that was not used yet.
func (r *Registrar) DeleteJoinToken(ctx context.Context, id string) error {
	return r.do(ctx, request{route: rest.DeleteJoinToken, value: id}, nil)
}
