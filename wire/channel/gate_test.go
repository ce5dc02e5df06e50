package channel

import (
	"net"
	"net/netip"
	"testing"
)

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestI08_GateBoundsHandshakes(t *testing.T) {
	g := newGate(10_000, 0)
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
	g := newGate(1, 0)
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
	if g.peers != 0 || g.handshakes != 0 || len(g.from) != 0 {
		t.Errorf("all have left, and %d peers, %d handshakes, %d origins are counted", g.peers, g.handshakes, len(g.from))
	}
}

func TestI08_GateBoundsPeersOfOneOrigin(t *testing.T) {
	g := newGate(10, 2)
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
	if g.peers != 0 || len(g.peersFrom) != 0 || len(g.from) != 0 {
		t.Errorf("all have left, and %d peers of %d origins are counted", g.peers, len(g.peersFrom))
	}
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
