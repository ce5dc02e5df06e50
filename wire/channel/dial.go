package channel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire/pki"
)

// DialConfig says whom to connect to.
type DialConfig struct {
	Addr        string          // host:port
	ALPN        string          // the one protocol, such as wire.ALPNAttest
	Exporter    string          // the label of Conn.Exporter, such as wire.ExporterAttest
	ServerName  string          // DNS name or IP address that the server's certificate must have
	CAPin       [32]byte        // SHA-256 of the CA's SubjectPublicKeyInfo
	Certificate tls.Certificate // the client's own: one certificate, an ECDSA P-256 key

	timing timing // zero: usual
}

// Dial connects to a server. It tries the addresses of its name one after the
// other as long as nobody answers, up to 20 s each. The server may still refuse
// the client's key after Dial has returned; the next Receive then says so, with
// a *CloseError of CodeNotEnrolled. ctx bounds only Dial, not the connection.
func Dial(ctx context.Context, cfg DialConfig) (*Conn, error) {
	addrs, err := resolve(ctx, cfg.Addr)
	if err != nil {
		return nil, err
	}
	quiet()
	var failed []error
	for _, a := range addrs {
		c, err := dial(ctx, cfg, a)
		if err == nil {
			return c, nil
		}
		failed = append(failed, err)
		if !errors.Is(err, errNoAnswer) || ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

// dial has a socket of its own, which ends with the connection.
func dial(ctx context.Context, cfg DialConfig, addr netip.AddrPort) (*Conn, error) {
	name := cfg.Addr
	if addr.String() != name {
		name = fmt.Sprintf("%s (%s)", cfg.Addr, addr)
	}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	udp, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	transport := &quic.Transport{Conn: udp}
	release := func() {
		transport.Close()
		udp.Close()
	}
	t := cfg.timing.orUsual()
	q, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(addr), cfg.tlsConfig(), t.clientConfig())
	if err != nil {
		release()
		return nil, explainDial(name, err)
	}
	context.AfterFunc(q.Context(), release)
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		closeQUIC(q, CodeDone)
		return nil, explain(name, err)
	}
	peer := serverPeer(q.ConnectionState().TLS.PeerCertificates, q.RemoteAddr())
	c, err := newConn(q, s, peer, name, cfg.Exporter, t)
	if err != nil {
		closeQUIC(q, CodeInternal)
	}
	return c, err
}

func (cfg DialConfig) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{cfg.ALPN},
		ServerName: cfg.ServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &cfg.Certificate, nil
		},
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // of the system's roots, which have no say; VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			chain := make([][]byte, len(state.PeerCertificates))
			for i, c := range state.PeerCertificates {
				chain[i] = c.Raw
			}
			return pki.VerifyPinned(chain, cfg.CAPin, cfg.ServerName, time.Now())
		},
	}
}

// resolve finds the addresses of host:port, at most maxAddresses.
func resolve(ctx context.Context, hostPort string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("server address: %w", err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, fmt.Errorf("server address %s: %w", hostPort, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("server address %s: %w", hostPort, err)
	}
	var addrs []netip.AddrPort
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}
