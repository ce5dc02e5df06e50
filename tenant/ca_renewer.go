package tenant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"quicklime/tenant/ca"
	"quicklime/tenant/ca/state"
	"quicklime/tenant/client"
	"quicklime/wire/rest"
)

// renewBatch is how many certificates are issued before they are sent: the register is
// written twice for all of them, and an interruption wastes no more than these.
const renewBatch = 32

// A renewer renews certificates, and keeps what became of each.
type renewer struct {
	*program
	servers servers
	place   *caPlace
	options renewOptions
	list    renewalList
	failure error // the first
	down    bool  // a server does not answer: asking on is no use
}

// run renews what is due of all lines, or those of the agents that are named.
func (r *renewer) run(ctx context.Context, agents []string) error {
	var lines []ca.Line
	err := r.place.within(func(d *state.Directory) error { lines = d.Register.Lines(); return nil })
	if err != nil {
		return err
	}
	if agents != nil {
		lines = slices.DeleteFunc(lines, func(l ca.Line) bool { return !slices.Contains(agents, l.Agent) })
	}
	show := r.progress("renewing", uint64(len(lines)), func(n uint64) string { return fmt.Sprint(n) })
	defer show.end()
	done := 0
	for batch := range slices.Chunk(lines, renewBatch) {
		if err := r.batch(ctx, batch); err != nil {
			return err
		}
		done += len(batch)
		show.at(uint64(done))
	}
	return nil
}

// batch renews some certificates. The authority is open while they are issued, and
// again while it is noted that they were sent, not in between.
func (r *renewer) batch(ctx context.Context, lines []ca.Line) error {
	var all []*renewal
	for _, l := range lines {
		if ctx.Err() == nil {
			all = append(all, r.consider(ctx, l))
		}
	}
	if err := r.note(all); err != nil {
		return err
	}
	var sent []*renewal
	for _, n := range r.issue(all) {
		if _, err := r.sendPackage(ctx, r.servers, n.next); err != nil {
			r.fail(n, err)
			continue
		}
		sent = append(sent, n)
	}
	return r.conclude(sent)
}

// note has the register know of certificates that turned out to have been sent.
func (r *renewer) note(all []*renewal) error {
	if !slices.ContainsFunc(all, func(n *renewal) bool { return n.found }) {
		return nil
	}
	return r.place.within(func(d *state.Directory) error {
		register := d.Register
		for _, n := range all {
			if e := n.line.Sent; n.found {
				register.MarkSent(e.Package.SentAt, e.Serial)
			}
		}
		return d.Save(register)
	})
}

// issue issues packages, those left out that the register says are no longer wanted.
// It returns those that were issued.
func (r *renewer) issue(all []*renewal) (issued []*renewal) {
	all = slices.DeleteFunc(all, func(n *renewal) bool { return n.next == nil })
	if len(all) == 0 {
		return nil
	}
	err := r.place.within(func(d *state.Directory) error {
		var packages []*certificatePackage
		all, packages = r.wanted(d.Register.Lines(), all)
		return r.issuePackages(d, packages...)
	})
	for _, n := range all {
		if err := errors.Join(err, n.next.err); err != nil {
			r.fail(n, err)
			continue
		}
		issued = append(issued, n)
	}
	return issued
}

// wanted ends the renewals of certificates that are others now than when they were
// looked at.
func (r *renewer) wanted(lines []ca.Line, all []*renewal) (left []*renewal, packages []*certificatePackage) {
	for _, n := range all {
		if reason := n.overtaken(lines); reason != "" {
			r.end(n, renewEnded, reason)
			continue
		}
		left, packages = append(left, n), append(packages, n.next)
	}
	return left, packages
}

// conclude has the register know what was sent.
func (r *renewer) conclude(sent []*renewal) error {
	if len(sent) == 0 {
		return nil
	}
	bySerial := map[string]*renewal{}
	for _, n := range sent {
		r.end(n, renewed, "")
		bySerial[n.next.entry.Serial] = n
	}
	return r.place.within(func(d *state.Directory) error {
		marked, err := r.markSent(d, slices.Collect(maps.Keys(bySerial))...)
		for i, e := range marked {
			r.list.Renewals[bySerial[e.Serial].view].Certificate = &marked[i]
		}
		return err
	})
}

// begin adds a renewal to the list.
func (r *renewer) begin(n *renewal, agent *rest.Agent) {
	v := renewalView{Agent: n.line.Agent, Payload: n.line.Payload, Replaces: *n.line.Sent}
	if agent != nil {
		v.Label = agent.Label
	}
	n.view = len(r.list.Renewals)
	r.list.Renewals = append(r.list.Renewals, v)
}

func (r *renewer) end(n *renewal, result, reason string) {
	v := &r.list.Renewals[n.view]
	v.Result, v.Reason = result, reason
}

// fail is the end of a renewal by an error.
func (r *renewer) fail(n *renewal, err error) {
	if r.down {
		r.end(n, renewNotTried, "")
		return
	}
	if r.failure == nil {
		r.failure = err
	}
	var lost *client.Unreachable
	r.down = errors.As(err, &lost)
	r.end(n, renewFailed, describe(err).Message)
}
