package verifier

import (
	"fmt"
	"time"

	"quicklime/verifier/revocation"
	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/conf"
)

// Revocation says who is told when the trust of a machine changes. Every event is
// recorded, whatever is set here.
type Revocation struct {
	// NoticeEvents are the kinds that other agents are told of.
	NoticeEvents []wire.EventKind `toml:"notice_events"`
	// Webhooks are receivers of events.
	Webhooks []revocation.Webhook `toml:"webhooks"`
	// WebhookEvents are the kinds that they are told of.
	WebhookEvents []wire.EventKind `toml:"webhook_events"`
	// GiveUp is the age at which an event that a webhook does not take is not sent
	// any more.
	GiveUp conf.Duration `toml:"give_up"`
}

// defaultRevocation leaves out stale: when a verifier or its network is down, all
// machines are. Webhooks are told of no good news, either: a receiver that knows
// Keylime alone takes whatever comes for a revocation.
func defaultRevocation() Revocation {
	return Revocation{
		NoticeEvents:  []wire.EventKind{wire.EventLost, wire.EventRegained, wire.EventRemoved},
		WebhookEvents: []wire.EventKind{wire.EventLost, wire.EventRaised, wire.EventRemoved},
		GiveUp:        conf.Duration(24 * time.Hour),
	}
}

func (r Revocation) routing() store.Routing {
	all := store.Routing{Notices: r.NoticeEvents, Webhooks: map[string][]wire.EventKind{}}
	for _, h := range r.Webhooks {
		all.Webhooks[h.Name] = r.WebhookEvents
	}
	return all
}

func (r Revocation) check() error {
	for _, k := range append(r.NoticeEvents[:len(r.NoticeEvents):len(r.NoticeEvents)], r.WebhookEvents...) {
		if !k.Known() {
			return fmt.Errorf("revocation: %q is no kind of event: want some of %v", k, wire.EventKinds)
		}
	}
	if len(r.Webhooks) > revocation.MaxWebhooks {
		return fmt.Errorf("revocation.webhooks has %d webhooks, the limit is %d", len(r.Webhooks), revocation.MaxWebhooks)
	}
	names := map[string]bool{}
	for i, h := range r.Webhooks {
		if err := h.Check(); err != nil {
			return fmt.Errorf("revocation.webhooks[%d]: %w", i, err)
		}
		if names[h.Name] {
			return fmt.Errorf("revocation.webhooks[%d]: there is another with the name %q", i, h.Name)
		}
		names[h.Name] = true
	}
	if time.Duration(r.GiveUp) < time.Minute {
		return fmt.Errorf("revocation.give_up must be at least 1m: a receiver may be restarted")
	}
	return nil
}
