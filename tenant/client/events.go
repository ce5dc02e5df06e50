package client

import (
	"context"
	"net/url"
	"strconv"

	"quicklime/wire/rest"
)

// LastEvents returns the newest events, the oldest of them first.
func (v *Verifier) LastEvents(ctx context.Context) (rest.EventList, error) {
	return call[rest.EventList](ctx, v.peer, request{route: rest.ListEvents})
}

// EventsAfter returns the events after a sequence number, the oldest first.
func (v *Verifier) EventsAfter(ctx context.Context, after int64) (rest.EventList, error) {
	return v.eventsAfter(ctx, url.Values{"after": {strconv.FormatInt(after, 10)}})
}

// PollEvents is EventsAfter as soon as there is one, or after some 25 s without.
func (v *Verifier) PollEvents(ctx context.Context, after int64) (rest.EventList, error) {
	return v.eventsAfter(ctx, url.Values{"after": {strconv.FormatInt(after, 10)}, "wait": {"1"}})
}

func (v *Verifier) eventsAfter(ctx context.Context, query url.Values) (rest.EventList, error) {
	return call[rest.EventList](ctx, v.peer, request{route: rest.ListEvents, query: query})
}

// RevocationKeys returns the public keys by which the verifier signs events.
func (v *Verifier) RevocationKeys(ctx context.Context) (rest.RevocationKeys, error) {
	return call[rest.RevocationKeys](ctx, v.peer, request{route: rest.GetRevocationKeys})
}

// DeadLetters returns the events that webhooks did not take.
func (v *Verifier) DeadLetters(ctx context.Context) (rest.DeadLetterList, error) {
	return call[rest.DeadLetterList](ctx, v.peer, request{route: rest.ListDeadLetters})
}

// RetryDeadLetters has dead letters sent again and returns how many.
func (v *Verifier) RetryDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (int, error) {
	return v.changeDeadLetters(ctx, rest.RetryDeadLetters, q)
}

// DropDeadLetters has dead letters forgotten and returns how many.
func (v *Verifier) DropDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (int, error) {
	return v.changeDeadLetters(ctx, rest.DropDeadLetters, q)
}

func (v *Verifier) changeDeadLetters(ctx context.Context, route rest.Route, q rest.DeadLetterRequest) (int, error) {
	r, err := request{route: route}.with(q)
	if err != nil {
		return 0, err
	}
	c, err := call[rest.DeadLetterCount](ctx, v.peer, r)
	return c.Count, err
}
