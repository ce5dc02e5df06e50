package daemon

import (
	"net"
	"net/netip"
	"sync"
)

const (
	// maxConnections bounds the connections of a REST server: people and their
	// scripts, and far fewer than a process has file descriptors. A stranger, who
	// has no certificate, keeps one for rest.HeaderTimeout.
	maxConnections = 1000

	// freeShare is the part of those still free that one address may have: a host
	// that takes all it can leaves three of four to others.
	freeShare = 3
)

// limited is a listener that hangs up on whom it has no place for.
type limited struct {
	net.Listener
	max int

	mu   sync.Mutex
	n    int
	from map[netip.Addr]int // no zero entries
}

func limit(l net.Listener, max int) *limited {
	return &limited{Listener: l, max: max, from: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addrOf(c)
		if l.enter(from) {
			return &place{c, sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		c.Close()
	}
}

func (l *limited) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.max || l.from[from] > (l.max-l.n)/freeShare {
		return false
	}
	l.n++
	l.from[from]++
	return true
}

func (l *limited) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// place is a connection that returns its place when it is closed.
type place struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *place) Close() error {
	p.leave()
	return p.Conn.Close()
}

// addrOf is where a connection comes from, of IPv6 the /64 that one host can be
// taken to have; the zero value if that is no IP address.
func addrOf(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	a := tcp.AddrPort().Addr().Unmap()
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
