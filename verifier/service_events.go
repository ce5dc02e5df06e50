package verifier

import (
	"context"
	"time"

	"quicklime/wire/rest"
)

// ListEvents implements api.Verifier.
func (v service) ListEvents(ctx context.Context, after int64) (rest.EventList, error) {
	for {
		l, err := v.eventsOnce(ctx, after)
		if err != nil || len(l.Events) > 0 || ctx.Err() != nil {
			return l, err
		}
	}
}

// eventsOnce returns the events after a sequence number, which it waits for once if
// there is none.
func (v service) eventsOnce(ctx context.Context, after int64) (l rest.EventList, err error) {
	happened, leave := v.store.Happened()
	defer leave()
	read := context.WithoutCancel(ctx)
	l.Events, l.Last, err = v.store.Events(read, after, rest.MaxEvents)
	if err != nil || len(l.Events) > 0 || ctx.Err() != nil {
		return l, err
	}
	select {
	case <-happened:
	case <-time.After(time.Second): // another verifier may have recorded one
	case <-ctx.Done():
	}
	l.Events, l.Last, err = v.store.Events(read, after, rest.MaxEvents)
	return l, err
}

// LastEvents implements api.Verifier.
func (v service) LastEvents(ctx context.Context) (l rest.EventList, err error) {
	if l.Events, err = v.store.LastEvents(ctx, rest.MaxEvents); err == nil && len(l.Events) > 0 {
		l.Last = l.Events[len(l.Events)-1].Sequence
	}
	return l, err
}

// RevocationKeys implements api.Verifier.
func (v service) RevocationKeys(context.Context) (rest.RevocationKeys, error) { return v.keys.Public() }

// DeadLetters implements api.Verifier.
func (v service) DeadLetters(ctx context.Context) (rest.DeadLetterList, error) {
	return v.store.DeadLetters(ctx)
}

// RetryDeadLetters implements api.Verifier.
func (v service) RetryDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (c rest.DeadLetterCount, err error) {
	c.Count, err = v.store.RetryDeadLetters(ctx, q)
	return c, err
}

// DropDeadLetters implements api.Verifier.
func (v service) DropDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (c rest.DeadLetterCount, err error) {
	c.Count, err = v.store.DropDeadLetters(ctx, q)
	return c, err
}
