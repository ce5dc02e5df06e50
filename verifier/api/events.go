package api

import (
	"context"
	"net/http"
	"strconv"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// events answers the routes under /v1/events, /v1/dead-letters and
// /v1/revocation-keys.
type events struct{ v Events }

// list answers at once without ?wait, else when there is an event.
func (e events) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if !q.Has("after") {
		l, err := e.v.LastEvents(r.Context())
		return answer(w, http.StatusOK, l, err)
	}
	after, err := strconv.ParseInt(q.Get("after"), 10, 64)
	if err != nil || after < 0 {
		return rest.Errorf(rest.CodeBadRequest, "after=%q is not a sequence number", q.Get("after")).
			WithHint("use the sequence of the last event you have, or 0 for all that are kept")
	}
	ctx, cancel := context.WithTimeout(r.Context(), LongPoll)
	defer cancel()
	if q.Get("wait") == "" {
		cancel() // there is nothing to wait for
	}
	l, err := e.v.ListEvents(ctx, after)
	return answer(w, http.StatusOK, l, err)
}

func (e events) keys(w http.ResponseWriter, r *http.Request) error {
	k, err := e.v.RevocationKeys(r.Context())
	return answer(w, http.StatusOK, k, err)
}

func (e events) dead(w http.ResponseWriter, r *http.Request) error {
	l, err := e.v.DeadLetters(r.Context())
	return answer(w, http.StatusOK, l, err)
}

func (e events) retry(w http.ResponseWriter, r *http.Request) error {
	q, err := readDeadLetters(r)
	if err != nil {
		return err
	}
	n, err := e.v.RetryDeadLetters(r.Context(), q)
	return answer(w, http.StatusOK, n, err)
}

func (e events) drop(w http.ResponseWriter, r *http.Request) error {
	q, err := readDeadLetters(r)
	if err != nil {
		return err
	}
	n, err := e.v.DropDeadLetters(r.Context(), q)
	return answer(w, http.StatusOK, n, err)
}

func readDeadLetters(r *http.Request) (q rest.DeadLetterRequest, err error) {
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &q); err != nil {
		return q, err
	}
	if q.Webhook != "" && !wire.ValidName(q.Webhook) {
		return q, rest.Errorf(rest.CodeBadRequest, "%q cannot name a webhook", q.Webhook)
	}
	if q.Event != "" && !wire.ValidEventID(q.Event) {
		return q, rest.Errorf(rest.CodeBadRequest, "%q is not the id of an event", q.Event).
			WithHint("an id is 32 lower-case hexadecimal digits")
	}
	return q, nil
}
