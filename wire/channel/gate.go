package channel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"
)

var (
	errFull  = errors.New("too many connections")
	errFault = errors.New("internal error")
)

// gate counts who is inside a listener, before anything is known of them.
type gate struct {
	maxPeers     int
	maxPeersFrom int // one origin; 0: no bound

	mu         sync.Mutex
	peers      int
	peersFrom  map[netip.Prefix]int // by origin; no zero entries
	handshakes int
	from       map[netip.Prefix]int // handshakes by origin; no zero entries
}

func newGate(maxPeers, maxPeersFrom int) *gate {
	return &gate{
		maxPeers: maxPeers, maxPeersFrom: maxPeersFrom,
		peersFrom: map[netip.Prefix]int{}, from: map[netip.Prefix]int{},
	}
}

// ticket is one connection's place: among the handshakes first, among the peers
// once admitted.
type ticket struct {
	gate     *gate
	origin   netip.Prefix
	admitted bool
	left     bool
}

type ticketKey struct{}

// connContext gives a new connection its ticket, or refuses it
// (CONNECTION_REFUSED). It is a quic.Transport's ConnContext.
func (g *gate) connContext(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	t, err := g.enter(origin(info.RemoteAddr))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, t.leave)
	return context.WithValue(ctx, ticketKey{}, t), nil
}

// suspicious reports whether whoever claims to be at addr must prove it. It is a
// quic.Transport's VerifySourceAddress.
func (g *gate) suspicious(addr net.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handshakes >= maxHandshakes/retryShare || g.from[origin(addr)] >= maxHandshakesFrom/retryShare
}

func (g *gate) enter(from netip.Prefix) (*ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full(from) || g.handshakes >= maxHandshakes || g.from[from] >= maxHandshakesFrom {
		return nil, errFull
	}
	g.handshakes++
	g.from[from]++
	return &ticket{gate: g, origin: from}, nil
}

// full reports whether there is no place for a peer of the origin. Its caller
// holds mu.
func (g *gate) full(from netip.Prefix) bool {
	return g.peers >= g.maxPeers || g.maxPeersFrom > 0 && g.peersFrom[from] >= g.maxPeersFrom
}

// admit makes a peer of a connection whose handshake is complete. It reports
// false if there are too many, or the connection has ended.
func (t *ticket) admit() bool {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.left || g.full(t.origin) {
		return false
	}
	t.admitted = true
	g.peers++
	g.peersFrom[t.origin]++
	g.shaken(t.origin)
	return true
}

// leave returns the place.
func (t *ticket) leave() {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	t.left = true
	if !t.admitted {
		g.shaken(t.origin)
		return
	}
	g.peers--
	decrement(g.peersFrom, t.origin)
}

// shaken counts the end of a handshake. Its caller holds mu.
func (g *gate) shaken(from netip.Prefix) {
	g.handshakes--
	decrement(g.from, from)
}

// decrement counts one down and keeps the map without zero entries.
func decrement(count map[netip.Prefix]int, from netip.Prefix) {
	if count[from]--; count[from] == 0 {
		delete(count, from)
	}
}

// origin is what one host can be taken to have: an IPv4 address, an IPv6 /64.
func origin(a net.Addr) netip.Prefix {
	addr := addrPort(a).Addr()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP address: all of these are one origin
	}
	return p
}
