// Package revocation tells others when the trust of a machine changes: webhooks, and
// through their sessions the other agents.
//
// What happened is in the store's outbox before anybody hears of it; this package
// only delivers. Each webhook has a worker of its own, which takes one event after
// the other, the oldest that is due first, so that a receiver that hangs or fails
// keeps no other waiting. A delivery is claimed in the database for longer than a try
// can take: of several verifiers one has it, and if that one dies another takes it
// up. So each event arrives at least once, and its id tells a second time from a
// second event.
package revocation

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"quicklime/verifier/store"
)

// Config is whom to tell, and how.
type Config struct {
	Webhooks []Webhook
	GiveUp   time.Duration // the age at which an event that a webhook does not take is a dead letter
	Keys     Keys
	Log      *slog.Logger
}

// Sender delivers events to webhooks. Run does all of it.
type Sender struct {
	store   *store.Store
	workers []*worker
	log     *slog.Logger
}

// New makes a sender, and reads the webhooks' CA files.
func New(s *store.Store, cfg Config) (*Sender, error) {
	sender := &Sender{store: s, log: cfg.Log}
	for _, h := range cfg.Webhooks {
		client, err := h.client()
		if err != nil {
			return nil, err
		}
		sender.workers = append(sender.workers, &worker{
			store: s, hook: h, client: client, keys: cfg.Keys, giveUp: cfg.GiveUp, log: cfg.Log.With("webhook", h.Name),
		})
	}
	return sender, nil
}

// Run delivers until ctx ends, and logs each event.
func (s *Sender) Run(ctx context.Context) error {
	if n, err := s.store.Abandon(ctx); err != nil && ctx.Err() == nil {
		return err
	} else if n > 0 {
		s.log.Warn("events for webhooks that are not configured any more are dead letters", "deliveries", n)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range s.workers {
		g.Go(func() error { return w.run(ctx) })
	}
	g.Go(func() error { return logEvents(ctx, s.store, s.log) })
	return g.Wait()
}

// worker delivers to one webhook.
type worker struct {
	store  *store.Store
	hook   Webhook
	client *http.Client
	keys   Keys
	giveUp time.Duration
	log    *slog.Logger
}

// run delivers what is due, and waits for what will be, until ctx ends.
func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		happened, leave := w.store.Happened()
		wait, err := w.once(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Error("deliveries cannot be read or kept", "error", err)
			wait = pollEvery
		}
		select {
		case <-ctx.Done():
		case <-happened:
		case <-time.After(wait):
		}
		leave()
	}
	return nil
}

// once tries one delivery, if one is due, and returns how long to wait for the next.
func (w *worker) once(ctx context.Context) (time.Duration, error) {
	d, next, found, err := w.store.Claim(ctx, w.hook.Name, claimTime)
	if err != nil {
		return 0, err
	}
	if !found {
		now, err := w.store.Now(ctx)
		if err != nil || next.IsZero() {
			return pollEvery, err
		}
		return min(max(next.Sub(now), 0), pollEvery), nil
	}
	return 0, w.try(ctx, d)
}

// try sends a delivery once and keeps what became of it.
func (w *worker) try(ctx context.Context, d store.Delivery) error {
	now, err := w.store.Now(ctx)
	if err != nil {
		return err
	}
	err = w.send(ctx, d)
	if ctx.Err() != nil {
		return nil // whoever comes next has it when the claim ends
	}
	keep := context.WithoutCancel(ctx)
	if err == nil {
		w.log.Info("the webhook has the event", "id", d.Event.ID, "sequence", d.Event.Sequence, "kind", d.Event.Kind, "agent", short(d.Event.Agent), "tries", d.Tries+1)
		return w.store.Delivered(keep, d)
	}
	wait := pauseAfter(d.Tries)
	dead := d.Tries+1 >= maxTries || now.Add(wait).Sub(d.Event.At) > w.giveUp
	w.log.Warn("the webhook did not take an event", "id", d.Event.ID, "sequence", d.Event.Sequence, "tries", d.Tries+1, "error", err,
		"dead_letter", dead, "retry", wait.String())
	return w.store.Failed(keep, d, cut(err.Error(), maxProblem), wait, dead)
}

// logEvents logs each event that is recorded from now on, whichever verifier does.
func logEvents(ctx context.Context, s *store.Store, log *slog.Logger) error {
	_, last, err := s.Events(ctx, 0, 0)
	for ctx.Err() == nil {
		if err != nil && ctx.Err() == nil {
			log.Error("events cannot be read", "error", err)
		}
		happened, leave := s.Happened()
		last, err = logAfter(ctx, s, log, last)
		select {
		case <-ctx.Done():
		case <-happened:
		case <-time.After(pollEvery):
		}
		leave()
	}
	return nil
}

func logAfter(ctx context.Context, s *store.Store, log *slog.Logger, last int64) (int64, error) {
	all, _, err := s.Events(ctx, last, maxLogged)
	for _, e := range all {
		last = e.Sequence
		log.Warn("event", "id", e.ID, "sequence", e.Sequence, "kind", e.Kind, "agent", short(e.Agent), "label", e.Label,
			"was", e.Was, "is", e.Trust, "failure", e.FailureID(), "severity", e.Severity)
	}
	return last, err
}

// short is the part of an id that a person sees.
func short(id string) string { return id[:min(len(id), 12)] }

// cut is s, or as much of its beginning as max bytes hold.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return s[:max]
}
