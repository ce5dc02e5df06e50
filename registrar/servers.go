package registrar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"quicklime/registrar/api"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/daemon"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

const (
	// maxPeers bounds the agents that register at one time: each costs the
	// database one write, and a fleet that is rolled out comes in waves.
	maxPeers = 1000

	// maxPeersPerOrigin bounds those of one IPv4 address or IPv6 /64. Nobody is
	// known here yet, and each may take proofTimeout: one host, with as many keys
	// as it likes, leaves nine places of ten to others, and a site behind one
	// address registers a hundred machines at a time.
	maxPeersPerOrigin = maxPeers / 10
)

// servers are the registrar's two: REST for operators, registration for agents.
type servers struct {
	desk      *desk
	agents    *channel.Listener
	operators net.Listener
	api       *http.Server
}

// listen opens both sockets. Nobody is answered before run.
func listen(cfg Config, ca *pki.Authority, certificate *pki.Server, d *desk) (*servers, error) {
	clients, err := ca.Revocations(d.log)
	if err != nil {
		return nil, err
	}
	mux, err := rest.NewMux(rest.RegistrarRoutes, api.Handlers(d.store, d.log), rest.CertificateRole(clients.RoleOf), d.log)
	if err != nil {
		return nil, err
	}
	s := &servers{desk: d, api: rest.NewServer(mux, pki.ServerTLS(ca, certificate), d.log)}
	s.operators, err = net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for operators: %w", err)
	}
	s.agents, err = channel.Listen(channel.ListenConfig{
		Addr: cfg.Listen, ALPN: wire.ALPNRegister, Exporter: wire.ExporterRegister,
		Certificate: certificate.TLSCertificate, MaxPeers: maxPeers, MaxPeersPerOrigin: maxPeersPerOrigin, Log: d.log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for agents: %w", err), s.operators.Close())
	}
	return s, nil
}

// run answers until ctx ends or a socket fails, and closes both.
func (s *servers) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.agents.Serve(ctx, func(ctx context.Context, c *channel.Conn) { s.desk.serve(ctx, c) })
	})
	g.Go(func() error { return daemon.ServeTLS(ctx, s.api, s.operators) })
	return g.Wait()
}
