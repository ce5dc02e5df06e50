package tenant

import (
	"context"
	"fmt"
	"time"

	"quicklime/tenant/ca/state"
	"quicklime/wire"
	"quicklime/wire/daemon"
)

// payloadLasts is how long a payload can be got if nobody says otherwise.
const payloadLasts = 365 * 24 * time.Hour

// gift seals what a new agent is to get, before it is enrolled: a machine that cannot
// be sent anything is not enrolled by half. It is nil if there is nothing.
func (p *program) gift(ctx context.Context, s servers, id string, a addition) (*sealedPayload, error) {
	if a.payload == "" {
		return nil, nil
	}
	what, err := contentsOf(a.payload, false)
	if err != nil {
		return nil, err
	}
	if !wire.ValidName(what.name) {
		return nil, daemon.WithHint(fmt.Errorf("%q cannot name a payload", what.name), `enrol the agent without it, and send it with "%s payload send --name"`, name)
	}
	sealed, err := p.sealFor(ctx, s, id, what, shipment{acceptEK: a.acceptEK, expires: life{Duration: payloadLasts}})
	return &sealed, err
}

// give sends the gift to the agent that is enrolled now.
func (p *program) give(ctx context.Context, s servers, id string, gift *sealedPayload) error {
	if gift == nil {
		return nil
	}
	v, err := p.deliver(ctx, s, id, *gift)
	if err != nil {
		return daemon.WithHint(fmt.Errorf("the agent is enrolled, and its payload could not be sent: %w", err), `send it with "%s payload send %s"`, name, short(id))
	}
	p.say("payload %s: %s", v.Name, v.words())
	return nil
}

// certificateGift makes ready the certificate that a new agent is to get, before it is
// enrolled. It is nil if it is to get none.
func (p *program) certificateGift(ctx context.Context, s servers, id string, a addition) (*certificatePackage, error) {
	if a.cert.ca == "" {
		return nil, nil
	}
	if err := a.cert.place(p).within(func(*state.Directory) error { return nil }); err != nil {
		return nil, err
	}
	return p.certificateFor(ctx, s, id, &a.cert, shipment{acceptEK: a.acceptEK})
}

// giveCertificate issues a certificate to the agent that is enrolled now, and sends it.
func (p *program) giveCertificate(ctx context.Context, s servers, a addition, pkg *certificatePackage) error {
	if pkg == nil {
		return nil
	}
	v, err := p.issueAndSend(ctx, s, a.cert.place(p), pkg)
	if err != nil {
		return daemon.WithHint(fmt.Errorf("the agent is enrolled, and its certificate could not be sent: %w", err), `send it one with "%s payload send %s --cert %s"`, name, short(pkg.names.Agent), a.cert.ca)
	}
	p.say("payload %s: %s, certificate %s until %s", v.Name, v.words(), short(v.Certificate.Serial), v.Certificate.NotAfter.Format(time.RFC3339))
	return nil
}
