package channel

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestI08_GateBoundsHandshakes(t *testing.T) {
	g := newGate(ListenConfig{MaxPeers: 10_000})
	loud, quiet := origin(udpAddr("192.0.2.1:1000")), udpAddr("192.0.2.2:1000")
	var tickets []*ticket
	for i := range maxHandshakesFrom {
		if got, want := g.suspicious(udpAddr("192.0.2.1:2000")), i >= maxHandshakesFrom/retryShare; got != want {
			t.Fatalf("after %d handshakes from one address suspicious is %t", i, got)
		}
		tk, err := g.enter(loud)
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, tk)
	}
	if _, err := g.enter(loud); err == nil {
		t.Errorf("more than %d handshakes from one address", maxHandshakesFrom)
	}
	if _, err := g.enter(origin(quiet)); err != nil {
		t.Errorf("another address: %v", err)
	}
	for _, tk := range tickets[1:] {
		tk.leave()
	}
	if _, err := g.enter(loud); err != nil {
		t.Errorf("after the others have left: %v", err)
	}
}

func TestI08_GateBoundsAll(t *testing.T) {
	g := newGate(ListenConfig{MaxPeers: 1})
	var tickets []*ticket
	for i := range maxHandshakes {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		if got, want := g.suspicious(udpAddr("192.0.2.9:1")), i >= maxHandshakes/retryShare; got != want {
			t.Fatalf("after %d handshakes suspicious is %t", i, got)
		}
		tk, err := g.enter(from)
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, tk)
	}
	if _, err := g.enter(origin(udpAddr("192.0.2.9:1"))); err == nil {
		t.Errorf("more than %d handshakes", maxHandshakes)
	}
	if !tickets[0].admit() {
		t.Error("the first peer was not admitted")
	}
	if tickets[1].admit() {
		t.Error("a second peer was admitted, and one is the limit")
	}
	if _, err := g.enter(origin(udpAddr("192.0.2.9:1"))); err == nil {
		t.Error("a handshake began while all places were taken")
	}
	tickets[2].leave()
	for _, tk := range tickets[3:] {
		tk.leave()
	}
	tickets[0].leave()
	if tickets[2].admit() {
		t.Error("a connection that has ended was admitted")
	}
	if !tickets[1].admit() {
		t.Error("a place that was left cannot be taken")
	}
	tickets[1].leave()
	wantEmpty(t, g)
}

func TestI08_GateBoundsPeersOfOneOrigin(t *testing.T) {
	g := newGate(ListenConfig{MaxPeers: 10, MaxPeersPerOrigin: 2})
	loud, quiet := origin(udpAddr("[2001:db8::1]:1")), origin(udpAddr("[2001:db8:0:1::1]:1"))
	enter := func(from netip.Prefix) *ticket {
		t.Helper()
		tk, err := g.enter(from)
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	first, second, third := enter(loud), enter(loud), enter(loud)
	if !first.admit() || !second.admit() {
		t.Error("a peer within the bound was not admitted")
	}
	if third.admit() {
		t.Error("a third peer of one origin was admitted, and two are the limit")
	}
	third.leave()
	if _, err := g.enter(loud); err == nil {
		t.Error("a handshake began from an origin whose places are taken")
	}
	other := enter(quiet)
	if !other.admit() {
		t.Error("another origin was not admitted")
	}
	first.leave()
	again := enter(loud)
	if !again.admit() {
		t.Error("a place that was left cannot be taken")
	}
	for _, tk := range []*ticket{second, other, again} {
		tk.leave()
	}
	wantEmpty(t, g)
}

// wantEmpty expects that nobody is counted any more.
func wantEmpty(t *testing.T, g *gate) {
	t.Helper()
	for name, c := range map[string]crowd{"handshakes": g.handshakes, "peers": g.peers, "strangers": g.strangers} {
		if c.n != 0 || len(c.from) != 0 {
			t.Errorf("all have left, and %d %s of %d origins are counted", c.n, name, len(c.from))
		}
	}
}

// A few hosts that begin all the handshakes they can leave some to the next.
func TestI08_HandshakesAreShared(t *testing.T) {
	for _, hosts := range []int{1, 4, 100} {
		g := newGate(ListenConfig{MaxPeers: 10_000})
		var tickets []*ticket
		for range maxHandshakesFrom {
			for host := range hosts {
				tk, err := g.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), 32))
				if err == nil {
					tickets = append(tickets, tk)
				}
			}
		}
		if g.handshakes.n < maxHandshakes/5 || g.handshakes.n > maxHandshakes-20 {
			t.Errorf("%d hosts have %d of %d handshakes", hosts, g.handshakes.n, maxHandshakes)
		}
		for i := range 10 {
			tk, err := g.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 32))
			if err != nil {
				t.Fatalf("host %d after %d loud ones: %v", i, hosts, err)
			}
			tickets = append(tickets, tk)
		}
		for _, tk := range tickets {
			tk.leave()
		}
		wantEmpty(t, g)
	}
}

// A known key has a few connections, from wherever they come.
func TestI08_OneKeyCannotTakeAllPlaces(t *testing.T) {
	g := newGate(ListenConfig{MaxPeers: 100, Admit: func(Peer) (bool, error) { return true, nil }})
	enter := func(host, key byte) *ticket {
		t.Helper()
		tk, err := g.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 32))
		if err != nil || !tk.identify([32]byte{key}, true) {
			t.Fatalf("host %d with key %d is turned away: %v", host, key, err)
		}
		return tk
	}
	var tickets []*ticket
	for i := range byte(2 * maxPeersOfKey) {
		tk := enter(i, 1)
		tickets = append(tickets, tk)
		if got, want := tk.admit(), i < maxPeersOfKey; got != want {
			t.Errorf("connection %d of one key: admitted: %t", i, got)
		}
	}
	other := enter(0, 2)
	if !other.admit() {
		t.Error("another key is not admitted")
	}
	tickets[0].leave()
	again := enter(0, 1)
	if !again.admit() {
		t.Error("a place that was left cannot be taken")
	}
	for _, tk := range append(tickets[1:], other, again) {
		tk.leave()
	}
	wantEmpty(t, g)
	if len(g.keys) != 0 {
		t.Errorf("all have left, and %d keys are counted", len(g.keys))
	}
}

// A flood is told of once in a while, with how many there were.
func TestTurnedAway(t *testing.T) {
	g := newGate(ListenConfig{})
	now := time.Now()
	for i, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 0}, {tellAway - 1, 0}, {tellAway, 3}, {tellAway + 1, 0}, {3 * tellAway, 2}} {
		if got := g.turnAway(now.Add(tt.after)); got != tt.want {
			t.Errorf("%d: %d are told of, want %d", i, got, tt.want)
		}
	}
}

// However many hosts knock, an agent can come back from where it was.
func TestI08_HandshakesOfFamiliarOrigins(t *testing.T) {
	g := newGate(ListenConfig{
		MaxPeers: 10_000, Admit: func(Peer) (bool, error) { return true, nil },
		Familiar: map[[32]byte]netip.AddrPort{{9}: netip.MustParseAddrPort("192.0.2.9:1")}, // from a listener that was there before
	})
	home := origin(udpAddr("192.0.2.1:1"))
	come := func(key byte, from netip.Prefix) {
		t.Helper()
		tk, err := g.enter(from)
		if err != nil || !tk.identify([32]byte{key}, true) || !tk.admit() {
			t.Fatal("a known client is not admitted")
		}
		tk.leave()
	}
	come(1, home)
	elsewhere := origin(udpAddr("192.0.2.3:1"))
	come(2, elsewhere) // and then from another place: a key has one home
	come(2, origin(udpAddr("192.0.2.4:1")))
	var tickets []*ticket
	for i := range 2 * maxHandshakes {
		if tk, err := g.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)); err == nil {
			tickets = append(tickets, tk)
		}
	}
	if _, err := g.enter(origin(udpAddr("192.0.2.2:1"))); err == nil || len(tickets) != maxHandshakes/2 {
		t.Errorf("hosts that nobody knows have %d handshakes", len(tickets))
	}
	if _, err := g.enter(elsewhere); err == nil {
		t.Error("where a client was once is familiar for ever")
	}
	for i := range maxHandshakes / 10 {
		from := home
		if i == 0 {
			from = origin(udpAddr("192.0.2.9:2"))
		}
		tk, err := g.enter(from)
		if err != nil {
			t.Fatalf("an agent cannot come back: %v", err)
		}
		tickets = append(tickets, tk)
	}
	for _, tk := range tickets {
		tk.leave()
	}
	wantEmpty(t, g)
	for i := range maxFamiliar + 10 {
		at := [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}
		g.remember([32]byte{at[0], at[1], at[2], at[3]}, netip.PrefixFrom(netip.AddrFrom4(at), 32))
	}
	if len(g.familiar) != maxFamiliar || len(g.homes) != maxFamiliar {
		t.Errorf("%d origins of %d keys are familiar, and %d are the limit", len(g.familiar), len(g.homes), maxFamiliar)
	}
}

// Strangers have places of their own, one origin a quarter of them, and become
// peers where there is a place.
func TestI08_StrangersTakeNoPlaceOfPeers(t *testing.T) {
	g := newGate(ListenConfig{MaxPeers: 2, MaxStrangers: 8})
	stranger := func(host byte) *ticket {
		t.Helper()
		tk, err := g.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 32))
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	var tickets []*ticket
	for host := range byte(5) {
		for i := range 3 {
			tk := stranger(host)
			tickets = append(tickets, tk)
			want := host < 4 && i < 2
			if got := tk.identify([32]byte{host, byte(i)}, false); got != want {
				t.Errorf("stranger %d of host %d: there is a place: %t", i, host, got)
			}
			if got := tk.admit(); got != want {
				t.Errorf("stranger %d of host %d: admitted: %t", i, host, got)
			}
		}
	}
	peer := stranger(0)
	tickets = append(tickets, peer)
	if !peer.admit() || !peer.known() {
		t.Error("with every stranger's place taken a peer is not admitted")
	}
	for range 2 { // the second time it is one already
		if !tickets[0].known() {
			t.Error("a stranger does not become a peer")
		}
	}
	if tickets[1].known() {
		t.Error("a third peer, and two are the limit")
	}
	if again := tickets[2]; !again.identify([32]byte{9}, false) || !again.admit() {
		t.Error("the place of a stranger that has become a peer cannot be taken")
	}
	for _, tk := range tickets {
		tk.leave()
	}
	wantEmpty(t, g)
}

func TestOrigin(t *testing.T) {
	tests := []struct{ addr, want string }{
		{"192.0.2.1:1", "192.0.2.1/32"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1/32"},
		{"[2001:db8:0:1:2:3:4:5]:1", "2001:db8:0:1::/64"},
		{"[fe80::1%eth0]:1", "fe80::/64"},
	}
	for _, tt := range tests {
		if got := origin(udpAddr(tt.addr)).String(); got != tt.want {
			t.Errorf("origin of %s is %s, want %s", tt.addr, got, tt.want)
		}
	}
	if got := origin(&net.UnixAddr{}); got != (netip.Prefix{}) {
		t.Errorf("origin of no IP address is %s", got)
	}
}
