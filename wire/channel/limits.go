package channel

import (
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
)

const (
	// defaultPeers bounds the connections of a listener that names no bound: at
	// some 65 KB each, idle, a little over a gigabyte.
	defaultPeers = 20_000

	// maxHandshakes bounds the handshakes in flight. A client's TPM may take a
	// second to sign, so this is also about the rate at which a fleet comes back,
	// a second. Some 100 KB each.
	maxHandshakes = 1024

	// maxHandshakesFrom bounds those in flight from one IPv4 address or IPv6 /64,
	// so that one host cannot take all, and a fleet behind one address still
	// returns within a minute.
	maxHandshakesFrom = maxHandshakes / 4

	// freeShare is the part of the handshakes still free that one origin may have:
	// so of 512, four hosts that stall all they can leave 200 to others, and a
	// hundred leave 10.
	freeShare = 3

	// familiarShare is the part of the handshakes that only origins may have from
	// which known clients came.
	familiarShare = 2

	// maxFamiliar bounds the keys whose origin is remembered: three times the agents
	// of the largest installation, at some 150 bytes each.
	maxFamiliar = 1 << 16

	// crowdedHandshake is what HandshakeTimeout is cut to while half of all
	// handshakes are under way: a slow TPM and a lost packet.
	crowdedHandshake = 3 * time.Second

	// maxPeersOfKey bounds the connections of one known key: its session, one that
	// takes its place, and two that the network lost. So a machine that is known
	// takes no place of others, whatever it does.
	maxPeersOfKey = 4

	// tellAway is how often the log tells that clients are turned away: a flood
	// must not fill the disk.
	tellAway = time.Minute

	// strangersShare is the part of the strangers' places that one origin may have:
	// whoever wants to keep others from waiting needs as many hosts.
	strangersShare = 4

	// retryShare is the part of either bound from which on a client must first
	// prove its address (Retry, RFC 9000, section 8.1.2), which costs it a round
	// trip and the server no state.
	retryShare = 4

	// firstWindow is what a peer may send before it is read (RFC 9000, section
	// 4.1): two of the largest frames, or the news of a busy minute. So much can
	// each agent make a server hold against its will.
	firstWindow = 2 * wire.MaxFrame // bytes

	// fullWindow is what the window of a server grows to while it reads: a list
	// of 64 MiB in time even at half a second for a round trip. A window grows
	// only as fast as it is emptied.
	fullWindow = 1 << 20 // bytes

	// connectionIDLength is that of a server's connection ids: long enough that
	// ids in use cannot be found, nor stateless resets collected, by trying.
	connectionIDLength = 8 // bytes

	// maxAddresses bounds how many addresses of one name a client tries.
	maxAddresses = 4

	// maxReason bounds the reason a peer gives for closing, as far as it is
	// shown.
	maxReason = 128 // bytes
)

// timing holds how long a connection waits for what.
type timing struct {
	handshake time.Duration // for the peer's next packet in a handshake; twice that for all of it
	idle      time.Duration // for any packet
	keepAlive time.Duration // between a client's signs of life
	frame     time.Duration // for the stream, for the rest of a message, and to send one
	raw       time.Duration // for raw bytes, either way
	linger    time.Duration // for a client to take what was sent and close
}

var usual = timing{
	handshake: wire.HandshakeTimeout,
	idle:      wire.IdleTimeout,
	keepAlive: wire.KeepAlive,
	frame:     wire.FrameTimeout,
	raw:       wire.EvidenceTimeout,
	linger:    2 * time.Second, // a few retransmissions of the last message
}

func (t timing) orUsual() timing {
	if t == (timing{}) {
		return usual
	}
	return t
}

// serverConfig lets a client open one stream in the life of a connection.
func (t timing) serverConfig() *quic.Config {
	c := t.config()
	c.MaxIncomingStreams = 1
	c.RequireStreamCreditRelease = true
	c.MaxStreamReceiveWindow = fullWindow
	c.MaxConnectionReceiveWindow = fullWindow
	return c
}

// clientConfig lets a server open nothing; what it sends is frames.
func (t timing) clientConfig() *quic.Config {
	c := t.config()
	c.KeepAlivePeriod = t.keepAlive
	return c
}

func (t timing) config() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           t.handshake,
		MaxIdleTimeout:                 t.idle,
		InitialStreamReceiveWindow:     firstWindow,
		MaxStreamReceiveWindow:         firstWindow,
		InitialConnectionReceiveWindow: firstWindow,
		MaxConnectionReceiveWindow:     firstWindow,
		MaxIncomingStreams:             -1,
		MaxIncomingUniStreams:          -1,
	}
}
