package channel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

var (
	errFull  = errors.New("too many connections")
	errFault = errors.New("internal error")
)

// gate counts who is inside a listener: in handshakes, before anything is known
// of them, and after them as peers or as strangers. Nobody takes a place of
// another crowd.
//
// The origins from which known clients came last are familiar, and have handshakes
// of their own: an agent comes back from where it was, while the whole Internet
// knocks. A key makes one origin familiar.
type gate struct {
	mu         sync.Mutex // over everything
	handshakes crowd
	peers      crowd
	strangers  crowd
	reserved   int                       // of the handshakes, for familiar origins
	homes      map[[32]byte]netip.Prefix // of known keys: from where each came last
	familiar   map[netip.Prefix]int      // how many keys have it as their home; no zero entries
	keys       map[[32]byte]int          // peers by key; no zero entries
	away       turnedAway
}

// turnedAway counts who found no place, for the log.
type turnedAway struct {
	n    int       // since told
	told time.Time // zero: never
}

// crowd is a number of places, of which one origin may take a part.
type crowd struct {
	max     int
	maxFrom int // one origin
	n       int
	from    map[netip.Prefix]int // by origin; no zero entries
}

func newCrowd(max, maxFrom int) crowd {
	return crowd{max: max, maxFrom: maxFrom, from: map[netip.Prefix]int{}}
}

func newGate(cfg ListenConfig) *gate {
	maxPeersFrom := cfg.MaxPeersPerOrigin
	if maxPeersFrom == 0 {
		maxPeersFrom = cfg.MaxPeers
	}
	g := &gate{
		homes:      map[[32]byte]netip.Prefix{},
		familiar:   map[netip.Prefix]int{},
		keys:       map[[32]byte]int{},
		handshakes: newCrowd(maxHandshakes, maxHandshakesFrom),
		peers:      newCrowd(cfg.MaxPeers, maxPeersFrom),
		strangers:  newCrowd(cfg.MaxStrangers, (cfg.MaxStrangers+strangersShare-1)/strangersShare),
	}
	if cfg.Admit != nil {
		g.reserved = maxHandshakes / familiarShare
	}
	for key, a := range cfg.Familiar {
		g.remember(key, origin(net.UDPAddrFromAddrPort(a)))
	}
	return g
}

// full reports whether there is no place for one of the origin.
func (c *crowd) full(from netip.Prefix) bool { return c.n >= c.max || c.from[from] >= c.maxFrom }

// unfair reports whether the origin already has its share of what is left of so
// many places: a few hosts, each with all it can get, leave some to the next.
func (c *crowd) unfair(from netip.Prefix, places int) bool {
	return c.n >= places || c.from[from] > (places-c.n)/freeShare
}

func (c *crowd) add(from netip.Prefix) {
	c.n++
	c.from[from]++
}

func (c *crowd) remove(from netip.Prefix) {
	c.n--
	if c.from[from]--; c.from[from] == 0 {
		delete(c.from, from)
	}
}

// ticket is one connection's place.
type ticket struct {
	gate   *gate
	origin netip.Prefix

	key      [32]byte // SHA-256 of its SubjectPublicKeyInfo; zero if Admit is nobody's
	stranger bool     // Admit does not know the key
	in       *crowd   // nil once it has left
}

type ticketKey struct{}

// ticketOf returns the ticket in a connection's context, or nil.
func ticketOf(ctx context.Context) *ticket {
	t, _ := ctx.Value(ticketKey{}).(*ticket)
	return t
}

// connContext gives a new connection its ticket, or refuses it
// (CONNECTION_REFUSED). It is a quic.Transport's ConnContext.
func (l *Listener) connContext(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	t, err := l.gate.enter(origin(info.RemoteAddr))
	if err != nil {
		l.turnedAway(info.RemoteAddr)
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
	return g.handshakes.n >= maxHandshakes/retryShare || g.handshakes.from[origin(addr)] >= maxHandshakesFrom/retryShare
}

// crowded reports whether half of the handshakes that there may be are under way.
func (g *gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handshakes.n >= maxHandshakes/2
}

func (g *gate) enter(from netip.Prefix) (*ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	places := maxHandshakes
	if _, ok := g.familiar[from]; !ok {
		places -= g.reserved
	}
	if g.peers.full(from) || g.handshakes.full(from) || g.handshakes.unfair(from, places) {
		return nil, errFull
	}
	g.handshakes.add(from)
	return &ticket{gate: g, origin: from, in: &g.handshakes}, nil
}

// identify notes whose the connection is. It reports false if there is no place
// for a stranger.
func (t *ticket) identify(key [32]byte, known bool) bool {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.key, t.stranger = key, !known
	return known || !t.gate.strangers.full(t.origin)
}

// admit gives a connection whose handshake is complete a place among the peers or
// the strangers. It reports false if there are too many, or the connection has
// ended.
func (t *ticket) admit() bool {
	to := &t.gate.peers
	if t.stranger {
		to = &t.gate.strangers
	}
	return t.move(to)
}

// known makes a peer of a stranger. It reports false as admit does.
func (t *ticket) known() bool { return t.move(&t.gate.peers) }

func (t *ticket) move(to *crowd) bool {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.in == to {
		return true
	}
	toPeers := to == &t.gate.peers
	if t.in == nil || to.full(t.origin) || toPeers && t.gate.keys[t.key] >= maxPeersOfKey {
		return false
	}
	t.in.remove(t.origin)
	to.add(t.origin)
	t.in = to
	if toPeers {
		t.gate.remember(t.key, t.origin)
		t.count(1)
	}
	return true
}

// count counts the connection among its key's, or no more. Its caller holds mu.
func (t *ticket) count(n int) {
	if t.key == [32]byte{} {
		return
	}
	if t.gate.keys[t.key] += n; t.gate.keys[t.key] == 0 {
		delete(t.gate.keys, t.key)
	}
}

// remember makes an origin the home of a key, in the place of any other key's if
// there are too many. Its caller holds mu.
func (g *gate) remember(key [32]byte, from netip.Prefix) {
	if key == [32]byte{} || g.homes[key] == from {
		return
	}
	g.forget(key)
	for old := range g.homes {
		if len(g.homes) < maxFamiliar {
			break
		}
		g.forget(old)
	}
	g.homes[key] = from
	g.familiar[from]++
}

func (g *gate) forget(key [32]byte) {
	from, there := g.homes[key]
	if !there {
		return
	}
	delete(g.homes, key)
	if g.familiar[from]--; g.familiar[from] == 0 {
		delete(g.familiar, from)
	}
}

// leave returns the place.
func (t *ticket) leave() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.in == &t.gate.peers {
		t.count(-1)
	}
	t.in.remove(t.origin)
	t.in = nil
}

// turnAway counts one who found no place, and returns how many did, 0 if that was
// told a short while ago.
func (g *gate) turnAway(now time.Time) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away.n++
	if now.Sub(g.away.told) < tellAway {
		return 0
	}
	n, g.away = g.away.n, turnedAway{told: now}
	return n
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
