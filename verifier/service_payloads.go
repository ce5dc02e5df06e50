package verifier

import (
	"context"
	"errors"
	"io"
	"net/http"

	"quicklime/verifier/store"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// ListPayloads implements api.Verifier.
func (v service) ListPayloads(ctx context.Context, agent string) (rest.PayloadList, error) {
	if _, err := v.store.Agent(ctx, agent); err != nil {
		return rest.PayloadList{}, refusal(err, "agent "+agent[:12])
	}
	return v.store.ListPayloads(ctx, agent)
}

// ListAllPayloads implements api.Verifier.
func (v service) ListAllPayloads(ctx context.Context, after string) (rest.AllPayloads, error) {
	return v.store.ListAllPayloads(ctx, after)
}

// GetPayload implements api.Verifier.
func (v service) GetPayload(ctx context.Context, agent, name string) (rest.Payload, error) {
	p, err := v.store.Payload(ctx, agent, name)
	return p, payloadRefusal(err, agent, name)
}

// WaitPayload implements api.Verifier.
func (v service) WaitPayload(ctx context.Context, agent, name string, after int64) (rest.Payload, error) {
	for {
		changed, leave := v.store.Changed(agent)
		p, err := v.GetPayload(context.WithoutCancel(ctx), agent, name)
		if err != nil || p.Revision != after || ctx.Err() != nil { // another version begins its own
			leave()
			return p, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		leave()
	}
}

// AddPayload implements api.Verifier.
func (v service) AddPayload(ctx context.Context, m payload.Manifest, up rest.PayloadUpload) (rest.Payload, error) {
	now, err := v.store.Now(ctx)
	if err != nil {
		return rest.Payload{}, err
	}
	if !now.Before(m.Expires) {
		return rest.Payload{}, rest.Errorf(rest.CodeInvalid, "payload %s has expired: it would never be released", m.Name)
	}
	err = v.store.AddPayload(ctx, m, up)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rest.Payload{}, refusal(err, "agent "+m.Agent[:12])
	case errors.Is(err, store.ErrConflict):
		return rest.Payload{}, rest.Errorf(rest.CodeConflict, "payload %s of agent %s has this version already, or a newer one", m.Name, m.Agent[:12])
	case errors.Is(err, store.ErrFull):
		return rest.Payload{}, rest.Errorf(rest.CodeTooLarge, "%v", err)
	case err != nil:
		return rest.Payload{}, err
	}
	return v.GetPayload(ctx, m.Agent, m.Name)
}

// PutPayload implements api.Verifier.
func (v service) PutPayload(ctx context.Context, agent, name string, version, offset uint64, content io.Reader) (rest.Payload, error) {
	received, err := v.store.WritePayload(ctx, agent, name, version, offset, content)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return rest.Payload{}, rest.Errorf(rest.CodeTooLarge, "the piece is larger than %d bytes", tooLong.Limit)
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return rest.Payload{}, rest.Errorf(rest.CodeConflict, "%d bytes of payload %s are there, the piece begins at %d", received, name, offset)
	case errors.Is(err, store.ErrContent):
		return rest.Payload{}, rest.Errorf(rest.CodeInvalid, "what came of payload %s is not the ciphertext that its manifest is about", name)
	case err != nil:
		return rest.Payload{}, payloadRefusal(err, agent, name)
	}
	p, err := v.GetPayload(context.WithoutCancel(ctx), agent, name) // the agent is told of it, whether or not the operator still listens
	if err == nil && p.Complete {
		v.sessions.PayloadsChanged(agent)
	}
	return p, err
}

// DeletePayload implements api.Verifier.
func (v service) DeletePayload(ctx context.Context, agent, name string) error {
	if err := v.store.WithdrawPayload(ctx, agent, name); err != nil {
		return payloadRefusal(err, agent, name)
	}
	v.sessions.PayloadsChanged(agent)
	return nil
}

// payloadRefusal puts the store's refusals into the API's words.
func payloadRefusal(err error, agent, name string) error {
	return refusal(err, "payload "+name+" of agent "+agent[:12])
}
