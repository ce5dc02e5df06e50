// Package verifier is the daemon that agents push evidence to. It appraises what
// comes, keeps the outcome, and answers operators over its REST API. It never
// polls.
//
//	api         the REST API                session     one connected agent
//	appraise    evidence in, verdict out    store       SQLite
//	quote, imalist, epoch, policy           what appraise is made of
//	eventlog, bootpolicy, pcrpolicy         what judges boot and PCRs beside the list
//	revocation                              tells others of events
package verifier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"quicklime/verifier/api"
	"quicklime/verifier/policycache"
	"quicklime/verifier/revocation"
	"quicklime/verifier/session"
	"quicklime/verifier/store"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/daemon"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// operator names the client certificate that is made at the first start.
const operator = "tenant"

// Run runs the verifier until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	log := cfg.logger()
	if err := cfg.check(); err != nil {
		return err
	}
	d, err := open(cfg, log)
	if err != nil {
		return err
	}
	defer d.store.Close()
	g, ctx := errgroup.WithContext(ctx)
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx)) // it writes until nobody else is left
	stored := make(chan error, 1)
	go func() { stored <- d.store.Run(storeCtx) }()
	if err := d.label(ctx, cfg, log); err != nil {
		stopStore()
		return errors.Join(err, <-stored, d.agents.Close(), d.listener.Close())
	}
	g.Go(func() error { return d.sessions.RunJudge(ctx) })
	g.Go(func() error { return d.store.RunGarbage(ctx, func(s store.Swept, err error) { logSwept(log, s, err) }) })
	g.Go(func() error {
		return d.store.RunSweep(ctx, cfg.timing().Trust(), func(err error) { log.Error("lapses of trust are not found", "error", err) })
	})
	g.Go(func() error { return d.events.Run(ctx) })
	g.Go(func() error { return d.feed.Run(ctx) })
	g.Go(func() error { return d.agents.Serve(ctx, d.sessions.Handle) })
	g.Go(func() error { return daemon.ServeTLS(ctx, d.rest, d.listener) })
	log.Info("verifier is ready", "address", d.listener.Addr().String(), "database", cfg.database(), "trusted_for", cfg.timing().Trust().String())
	if cfg.OnReady != nil {
		cfg.OnReady(d.listener.Addr().String())
	}
	err = g.Wait()
	stopStore()
	return errors.Join(err, <-stored)
}

// logSwept says what was collected; what could not be read is an error and stays.
func logSwept(log *slog.Logger, s store.Swept, err error) {
	if err != nil {
		log.Error("entries that nobody needs any more are not all collected", "error", err)
	}
	if s != (store.Swept{}) {
		log.Info("collected what nobody needs any more", "lists", s.Lists, "entries", s.Entries, "merged_blocks", s.Merged)
	}
}

// parts is everything that Run runs.
type parts struct {
	store    *store.Store
	policies *policycache.Cache
	sessions *session.Server
	keys     revocation.Keys
	events   *revocation.Sender
	feed     *revocation.Feed
	signed   api.Signatures
	agents   *channel.Listener
	rest     *http.Server
	listener net.Listener
}

func open(cfg Config, log *slog.Logger) (d parts, err error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return d, fmt.Errorf("state_dir: %w", err)
	}
	if d.signed, err = cfg.signatures(); err != nil {
		return d, err
	}
	ca, err := pki.Open(cfg.PKIDir)
	if err != nil {
		return d, err
	}
	if err := ca.EnsureClient(operator, string(rest.RoleOperator)); err != nil {
		return d, err
	}
	cert, err := ca.Server("verifier", cfg.ServerNames)
	if err != nil {
		return d, err
	}
	if d.store, err = store.Open(cfg.database()); err != nil {
		return d, err
	}
	if err := checkStored(context.Background(), d.store, d.signed); err != nil {
		return d, errors.Join(err, d.store.Close())
	}
	if err := d.tell(cfg, ca, log); err != nil {
		return d, errors.Join(err, d.store.Close())
	}
	if err := d.serve(cfg, ca, cert, log); err != nil {
		return d, errors.Join(err, d.store.Close())
	}
	return d, nil
}

// tell makes what tells others of events.
func (d *parts) tell(cfg Config, ca *pki.Authority, log *slog.Logger) (err error) {
	r := cfg.Revocation
	if d.keys, err = revocation.OpenKeys(ca, len(r.Webhooks) > 0); err != nil {
		return fmt.Errorf("revocation keys: %w", err)
	}
	d.store.Route(r.routing())
	d.feed = revocation.NewFeed(d.store, d.keys, log)
	d.events, err = revocation.New(d.store, revocation.Config{Webhooks: r.Webhooks, GiveUp: time.Duration(r.GiveUp), Keys: d.keys, Log: log})
	return err
}

// label has failures labelled as the configuration says.
func (d *parts) label(ctx context.Context, cfg Config, log *slog.Logger) error {
	scale, err := cfg.scale()
	if err != nil {
		return err
	}
	for _, id := range scale.Overruled() {
		log.Warn("severity_policy does not decide about a failure that always has the highest label", "id", id)
	}
	changed, err := d.store.Label(ctx, scale)
	if changed {
		log.Info("severity_labels or severity_policy has changed: what stands was labelled anew")
	}
	return err
}

// serve makes what stands on the store.
func (d *parts) serve(cfg Config, ca *pki.Authority, cert *pki.Server, log *slog.Logger) (err error) {
	if d.policies, err = policycache.Open(cfg.policies(), log); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	d.sessions = session.New(d.store, d.policies, cfg.timing(), d.feed, log)
	if err := d.service().prune(context.Background()); err != nil {
		return err
	}
	return d.listen(cfg, ca, cert, log)
}

func (d *parts) service() service {
	return service{d.store, d.policies, d.sessions, d.keys}
}

// listen opens the TCP and the UDP socket of the same address.
func (d *parts) listen(cfg Config, ca *pki.Authority, cert *pki.Server, log *slog.Logger) error {
	clients, err := ca.Revocations(log)
	if err != nil {
		return err
	}
	mux, err := rest.NewMux(rest.VerifierRoutes, api.Handlers(d.service(), d.signed), rest.CertificateRole(clients.RoleOf), log)
	if err != nil {
		return err
	}
	d.rest = rest.NewServer(mux, pki.ServerTLS(ca, cert), log)
	peers, err := d.store.Peers(context.Background())
	if err != nil {
		return err
	}
	if d.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return err
	}
	d.agents, err = channel.Listen(channel.ListenConfig{
		Addr:         d.listener.Addr().String(),
		ALPN:         wire.ALPNAttest,
		Exporter:     wire.ExporterAttest,
		Certificate:  func() (*tls.Certificate, error) { return cert.TLSCertificate() },
		Admit:        d.sessions.Admit,
		Familiar:     peers,
		MaxPeers:     cfg.MaxAgents,
		MaxStrangers: session.MaxStrangers,
		Log:          log,
	})
	if err != nil {
		return errors.Join(err, d.listener.Close())
	}
	return nil
}
