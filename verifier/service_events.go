package verifier

import (
	"context"
	"slices"
	"strings"
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
	configured, err := v.named(ctx, q)
	if err != nil {
		return c, err
	}
	if q.Webhook != "" && !slices.Contains(configured, q.Webhook) {
		return c, rest.Errorf(rest.CodeConflict, "nothing can be sent to webhook %s, which is not configured any more; configured are: %s", q.Webhook, listed(configured)).
			WithHint("put it back into revocation.webhooks in verifier.toml, or forget its dead letters: quicklime-tenant events drop --webhook %s", q.Webhook)
	}
	c.Count, err = v.store.RetryDeadLetters(ctx, q)
	return c, err
}

// DropDeadLetters implements api.Verifier.
func (v service) DropDeadLetters(ctx context.Context, q rest.DeadLetterRequest) (c rest.DeadLetterCount, err error) {
	if _, err = v.named(ctx, q); err != nil {
		return c, err
	}
	c.Count, err = v.store.DropDeadLetters(ctx, q)
	return c, err
}

// named refuses a webhook and an event that there are not, so that a slip of the pen is
// not taken for "none is dead". It returns the webhooks that are configured.
func (v service) named(ctx context.Context, q rest.DeadLetterRequest) (configured []string, err error) {
	configured, dead, err := v.store.Webhooks(ctx, q.Webhook)
	if err != nil {
		return nil, err
	}
	if q.Webhook != "" && !dead && !slices.Contains(configured, q.Webhook) {
		return nil, rest.Errorf(rest.CodeNotFound, "there is no webhook %s; configured are: %s", q.Webhook, listed(configured)).
			WithHint("\"quicklime-tenant events dead\" names those that have dead letters")
	}
	if q.Event == "" {
		return configured, nil
	}
	if has, err := v.store.HasEvent(ctx, q.Event); err != nil || has {
		return configured, err
	}
	return nil, rest.Errorf(rest.CodeNotFound, "there is no event %s", q.Event).WithHint("\"quicklime-tenant events dead\" shows the ids of those that are dead letters")
}

// listed is some names, for a person.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
