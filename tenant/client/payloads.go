package client

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"quicklime/wire/rest"
)

// Payloads returns an agent's payloads and what became of them.
func (v *Verifier) Payloads(ctx context.Context, agent string) (rest.PayloadList, error) {
	return call[rest.PayloadList](ctx, v.peer, request{route: rest.ListPayloads, value: agent})
}

// AllPayloads returns the payloads of all agents that have any, by the agents' ids.
func (v *Verifier) AllPayloads(ctx context.Context) (all []rest.AgentPayloads, err error) {
	for after := ""; ; {
		query := url.Values{}
		if after != "" {
			query.Set("after", after)
		}
		l, err := call[rest.AllPayloads](ctx, v.peer, request{route: rest.ListAllPayloads, query: query})
		if err != nil {
			return nil, err
		}
		all = append(all, l.Agents...)
		switch {
		case l.Next == "":
			return all, nil
		case l.Next <= after:
			return nil, fmt.Errorf("the verifier's list of payloads goes on with agent %q after %q", l.Next, after)
		}
		after = l.Next
	}
}

// Payload returns the newest version of an agent's payload.
func (v *Verifier) Payload(ctx context.Context, agent, name string) (rest.Payload, error) {
	return call[rest.Payload](ctx, v.peer, request{route: rest.GetPayload, value: agent, name: name})
}

// PollPayload is Payload as soon as its revision is greater than after, and after
// some 25 s if it is not.
func (v *Verifier) PollPayload(ctx context.Context, agent, name string, after int64) (rest.Payload, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	return call[rest.Payload](ctx, v.peer, request{route: rest.GetPayload, value: agent, name: name, query: query})
}

// AddPayload begins the upload of a version of a payload, or resumes it.
func (v *Verifier) AddPayload(ctx context.Context, agent string, up rest.PayloadUpload) (rest.Payload, error) {
	r, err := request{route: rest.AddPayload, value: agent}.with(up)
	if err != nil {
		return rest.Payload{}, err
	}
	return call[rest.Payload](ctx, v.peer, r)
}

// PutPayload sends a piece of a ciphertext, at most rest.MaxPayloadPiece bytes.
func (v *Verifier) PutPayload(ctx context.Context, agent, name string, version, offset uint64, piece []byte) (rest.Payload, error) {
	query := url.Values{"version": {strconv.FormatUint(version, 10)}, "offset": {strconv.FormatUint(offset, 10)}}
	return call[rest.Payload](ctx, v.peer, request{route: rest.PutPayload, value: agent, name: name, query: query, body: piece, bytes: true})
}

// DeletePayload withdraws a payload.
func (v *Verifier) DeletePayload(ctx context.Context, agent, name string) error {
	return v.do(ctx, request{route: rest.DeletePayload, value: agent, name: name}, nil)
}
