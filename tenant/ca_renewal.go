package tenant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quicklime/tenant/ca"
	"quicklime/wire"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// A renewal is one certificate that may have to be renewed.
type renewal struct {
	line  ca.Line             // with what the verifier has
	found bool                // the verifier has one that was not known to have been sent
	view  int                 // place in the list of renewals
	next  *certificatePackage // what is to take its place; nil: nothing is
}

// consider finds out whether a certificate is to be renewed, and makes ready what
// takes time.
func (r *renewer) consider(ctx context.Context, l ca.Line) (n *renewal) {
	n = &renewal{line: l}
	if !r.isDue(l) && len(l.Unsent) == 0 {
		r.undue(l)
		return n
	}
	agent, last, err := r.ask(ctx, l)
	if last != nil && isSent(*last) {
		n.line, n.found = l.Found(last.Version, notAfter(last.AddedAt, r.now()))
	}
	if !r.isDue(n.line) {
		r.undue(n.line)
		return n
	}
	r.decide(ctx, n, agent, last, err)
	return n
}

// decide makes the next package of a certificate that is due, or says why there is none.
// failed is why the verifier could not be asked.
func (r *renewer) decide(ctx context.Context, n *renewal, agent *rest.Agent, last *rest.Payload, failed error) {
	var result, reason string
	if failed == nil {
		result, reason = standing(n.line, agent, last, r.now())
	}
	if result == renewEnded && n.line.Sent.Expired(r.now()) {
		return // and there is nothing left to say
	}
	r.begin(n, agent)
	if result != "" {
		r.end(n, result, reason)
		return
	}
	err := failed
	if err == nil {
		n.next, err = r.pack(ctx, *n.line.Sent)
	}
	if err != nil {
		n.next = nil
		r.fail(n, err)
	}
}

// notAfter is when the verifier says that something was, which cannot be in the future:
// the certificate would not be due before.
func notAfter(said, now time.Time) time.Time {
	if said.After(now) {
		return now
	}
	return said
}

func (r *renewer) isDue(l ca.Line) bool { return l.Sent != nil && r.options.due(*l.Sent, r.now()) }

// undue counts a certificate that is not due.
func (r *renewer) undue(l ca.Line) {
	if l.Sent != nil && !l.Sent.Revoked() {
		r.list.NotDue++
	}
}

// isSent reports whether the verifier has, or had, all of a package.
func isSent(p rest.Payload) bool {
	return p.Kind == string(payload.Certificates) && (p.Complete || p.WithdrawnAt != nil)
}

// ask asks the verifier for an agent and its payload. What it does not know is nil.
func (r *renewer) ask(ctx context.Context, l ca.Line) (*rest.Agent, *rest.Payload, error) {
	if r.down {
		return nil, nil, r.failure
	}
	agent, err := ifKnown(r.servers.verifier.Agent(ctx, l.Agent))
	if agent == nil {
		return nil, nil, err
	}
	last, err := ifKnown(r.servers.verifier.Payload(ctx, l.Agent, l.Payload))
	return agent, last, err
}

// ifKnown is what a server answered, nil if it does not know of it.
func ifKnown[T any](v T, err error) (*T, error) {
	switch {
	case err == nil:
		return &v, nil
	case isCode(err, rest.CodeNotFound):
		return nil, nil
	}
	return nil, err
}

// standing says why the certificate of a line is not renewed; "": it is.
func standing(l ca.Line, agent *rest.Agent, last *rest.Payload, now time.Time) (result, reason string) {
	switch {
	case last == nil && l.Sent.Expired(now):
		return renewEnded, "the machine is not enrolled any more, or anew, and the certificate has run out"
	case agent == nil:
		return renewRefused, "the machine is not enrolled"
	case last == nil && !agent.EnrolledAt.After(l.Sent.Package.SentAt):
		return renewEnded, "the payload was withdrawn" // so long ago that the verifier has forgotten it
	case last == nil:
		return renewGone, "the machine was enrolled anew since it was sent: send it one again"
	case last.WithdrawnAt != nil:
		return renewEnded, "the payload was withdrawn"
	case last.Version > l.Sent.Package.Version && !slices.ContainsFunc(l.Unsent, func(e ca.Entry) bool { return e.Package.Version == last.Version }):
		return renewEnded, fmt.Sprintf("version %d of the payload, which is not of this authority, took its place", last.Version)
	case agent.Trust != wire.Trusted:
		return renewRefused, stateWords(*agent)
	}
	return "", ""
}

// pack makes the package that takes the place of one that was sent.
func (r *renewer) pack(ctx context.Context, before ca.Entry) (*certificatePackage, error) {
	plan, accepted := *before.Package, ""
	plan.SentAt = time.Time{}
	if plan.AcceptEK {
		accepted = before.Names.Agent
	}
	to, err := r.recipient(ctx, r.servers, before.Names.Agent, plan.Payload, accepted)
	if err != nil {
		return nil, err
	}
	return newCertificatePackage(to, before.Names, before.Key, life{Duration: time.Duration(plan.Life) * time.Second}, plan)
}

// overtaken says what happened to a line since it was looked at.
func (n *renewal) overtaken(lines []ca.Line) string {
	i := slices.IndexFunc(lines, func(l ca.Line) bool { return l.Agent == n.line.Agent && l.Payload == n.line.Payload })
	switch {
	case i < 0 || lines[i].Newest != n.line.Newest:
		return "another certificate was issued meanwhile"
	case lines[i].Sent == nil || lines[i].Sent.Revoked():
		return "it was revoked meanwhile"
	}
	return ""
}
