package channel

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// ListenConfig says how to listen.
type ListenConfig struct {
	Addr     string // host:port; an empty host is every address
	ALPN     string // the one protocol, such as wire.ALPNAttest
	Exporter string // the label of Conn.Exporter, such as wire.ExporterAttest

	// Certificate returns the server's certificate and key for one handshake.
	Certificate func() (*tls.Certificate, error)

	// Admit decides whether a client may connect, and whether its key is known; an
	// error fails its handshake, and the client learns nothing of it but that. It
	// is asked in the middle of the handshake, before the client has proved that
	// the key is its own: it must decide from the key alone and change nothing.
	// nil knows every key.
	Admit func(Peer) (known bool, err error)

	// Familiar is from where known clients, by the SHA-256 of their
	// SubjectPublicKeyInfo, came to an earlier Listener: their origins have
	// handshakes of their own from the start.
	Familiar map[[32]byte]netip.AddrPort

	// MaxPeers bounds the connections of known clients at one time; 0 is a bound
	// for any machine.
	MaxPeers int

	// MaxStrangers bounds those of clients that Admit does not know, beside
	// MaxPeers, so that they take no place of a known client; one origin has at
	// most a quarter of them. 0 admits none.
	MaxStrangers int

	// MaxPeersPerOrigin bounds those of one IPv4 address or IPv6 /64, from where
	// they began, for as long as they live; 0 is no bound. It is for a server
	// that admits every key, where a host without rights could otherwise take
	// all places.
	MaxPeersPerOrigin int

	Log *slog.Logger // of faults of this side; nil: slog.Default()

	timing timing // zero: usual
}

// Listener is a UDP socket on which clients are expected.
type Listener struct {
	cfg       ListenConfig
	timing    timing
	gate      *gate
	udp       net.PacketConn
	transport *quic.Transport
	quic      *quic.Listener
}

// Listen opens the socket. Nothing is answered for before Serve; Close it if
// that is never called.
func Listen(cfg ListenConfig) (*Listener, error) {
	cert, err := cfg.Certificate()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	udp, err := net.ListenPacket("udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	if cfg.MaxPeers == 0 {
		cfg.MaxPeers = defaultPeers
	}
	quiet()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Listener{cfg: cfg, timing: cfg.timing.orUsual(), udp: udp, gate: newGate(cfg)}
	l.transport = &quic.Transport{
		Conn:                udp,
		ConnectionIDLength:  connectionIDLength,
		StatelessResetKey:   resetKey(cert),
		VerifySourceAddress: l.gate.suspicious,
		ConnContext:         l.connContext,
	}
	l.quic, err = l.transport.Listen(l.tlsConfig(), l.quicConfig())
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	return l, nil
}

// Addr is the address of the socket.
func (l *Listener) Addr() net.Addr { return l.udp.LocalAddr() }

// Close closes the socket; connections still open end without a word.
func (l *Listener) Close() error {
	return errors.Join(l.transport.Close(), l.udp.Close())
}

// Serve calls handle, in a goroutine of its own, for each client that connects
// and opens its stream. When handle returns, the connection ends after the
// client has what was sent to it; when it panics, at once with CodeInternal, and
// the log has the stack. When ctx ends, so do all connections, with CodeShutdown;
// Serve waits for every handle, closes the listener and returns nil. It is called
// once.
func (l *Listener) Serve(ctx context.Context, handle func(context.Context, *Conn)) error {
	var handlers sync.WaitGroup
	defer l.Close()
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		q, err := l.quic.Accept(ctx)
		if err != nil {
			l.refuseRest()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listen on %s: %w", l.Addr(), err)
		}
		handlers.Go(func() { l.serve(ctx, q, handle) })
	}
}

// serve owns one connection from the end of its handshake to its own.
func (l *Listener) serve(ctx context.Context, q *quic.Conn, handle func(context.Context, *Conn)) {
	stop := context.AfterFunc(ctx, func() { closeQUIC(q, CodeShutdown) })
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			l.panicked(q, p)
		}
	}()
	t := ticketOf(q.Context())
	if t == nil || !t.admit() {
		if q.Context().Err() == nil { // else it has left by itself
			l.turnedAway(q.RemoteAddr())
		}
		closeQUIC(q, CodeBusy)
		return
	}
	c, code := l.open(q)
	if c == nil {
		closeQUIC(q, code)
		return
	}
	handle(ctx, c)
	c.finish()
}

// panicked ends a connection by which a panic came about: what one client sent must
// not end the service of all.
func (l *Listener) panicked(q *quic.Conn, p any) {
	l.logPanic(q.RemoteAddr(), p)
	closeQUIC(q, CodeInternal)
}

// logPanic logs a panic, with the stack of its goroutine.
func (l *Listener) logPanic(remote net.Addr, p any) {
	l.cfg.Log.Error("panic", "remote", remote.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

// open waits for the client's stream. Without one it returns the code to close
// with.
func (l *Listener) open(q *quic.Conn) (*Conn, Code) {
	ctx, cancel := context.WithTimeout(q.Context(), l.timing.frame)
	defer cancel()
	s, err := q.AcceptStream(ctx)
	if err != nil {
		return nil, CodeProtocol
	}
	peer, err := clientPeer(q.ConnectionState().TLS.PeerCertificates, q.RemoteAddr())
	if err != nil {
		return nil, CodeProtocol
	}
	c, err := newConn(q, s, peer, peer.Addr.String(), l.cfg.Exporter, l.timing)
	if err != nil {
		return nil, CodeInternal
	}
	c.panicked = func(p any) { l.panicked(q, p) }
	return c, CodeDone
}

// refuseRest stops listening and sends away who got in meanwhile.
func (l *Listener) refuseRest() {
	l.quic.Close()
	for {
		q, err := l.quic.Accept(context.Background())
		if err != nil {
			return
		}
		closeQUIC(q, CodeShutdown)
	}
}

func closeQUIC(q *quic.Conn, code Code) {
	q.CloseWithError(quic.ApplicationErrorCode(code), "")
}

// quicConfig gives handshakes less time while there are many.
func (l *Listener) quicConfig() *quic.Config {
	base := l.timing.serverConfig()
	hurried := base.Clone()
	hurried.HandshakeIdleTimeout = min(crowdedHandshake, base.HandshakeIdleTimeout)
	base.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) {
		if l.gate.crowded() {
			return hurried, nil
		}
		return base, nil
	}
	return base
}

// tlsConfig is per connection only because Admit wants to know the address.
func (l *Listener) tlsConfig() *tls.Config {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{l.cfg.ALPN},
		ClientAuth:             tls.RequireAnyClientCert, // what it proves is the key; Admit knows the keys
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.cfg.Certificate()
		},
	}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.VerifyConnection = func(state tls.ConnectionState) error {
			return l.verify(state, hello.Conn.RemoteAddr(), ticketOf(hello.Context()))
		}
		return c, nil
	}
	return base
}

// verify is called in the handshake's goroutine, which is quic-go's.
func (l *Listener) verify(state tls.ConnectionState, addr net.Addr, t *ticket) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.logPanic(addr, p)
			err = errFault
		}
	}()
	peer, err := clientPeer(state.PeerCertificates, addr)
	if err != nil || l.cfg.Admit == nil {
		return err
	}
	known, err := l.cfg.Admit(peer)
	if err == nil && (t == nil || !t.identify(peer.SPKI, known)) {
		l.turnedAway(addr)
		return errFull
	}
	return err
}

// turnedAway logs now and then that clients find no place, and where the last of
// them was.
func (l *Listener) turnedAway(remote net.Addr) {
	if n := l.gate.turnAway(time.Now()); n > 0 {
		l.cfg.Log.Warn("clients are turned away: too many connect, wait or are connected", "clients", n, "last", remote.String())
	}
}

// resetKey is derived from the certificate's key, so that a program that was
// killed and started again with the same key can tell the clients of its
// predecessor at their next packet (stateless reset, RFC 9000, section 10.3);
// else they would notice after wire.IdleTimeout. nil, which means a random key,
// if the key cannot be read.
func resetKey(cert *tls.Certificate) *quic.StatelessResetKey {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil
	}
	b, err := hkdf.Key(sha256.New, der, nil, "quicklime stateless reset", len(quic.StatelessResetKey{}))
	if err != nil {
		return nil
	}
	return (*quic.StatelessResetKey)(b)
}
