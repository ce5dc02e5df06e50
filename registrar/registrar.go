// Package registrar is the daemon that knows which TPM is which.
//
// Agents register with it over QUIC, once each (quicklime/registrar/credential
// specifies the exchange); operators ask it over REST (quicklime/wire/rest). At
// its first start it makes what an installation needs: its CA and a client
// certificate for the tenant, both in pki_dir, and its database in state_dir.
//
// An agent that is not known learns nothing from it but one word of
// wire.Refusal (I09); the log says the rest.
package registrar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"quicklime/registrar/store"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// tenant names the client certificate that operators use.
const tenant = "tenant"

// Run serves until ctx ends, and then returns nil once everybody has been
// answered. It returns an error if it cannot start, or cannot go on.
func Run(ctx context.Context, cfg Config) (err error) {
	anchors, err := readAnchors(cfg.EKAnchors, cfg.logger())
	if err != nil {
		return err
	}
	ca, certificate, err := identity(cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	db, err := store.Open(cfg.database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := listen(cfg, ca, certificate, newDesk(db, anchors, cfg.EKCertificate, cfg.logger()))
	if err != nil {
		return err
	}
	cfg.logger().Info("registrar is ready",
		"rest", s.operators.Addr().String(), "registration", s.agents.Addr().String(), "ek_trust_anchors", anchors.Len(),
		"ca", filepath.Join(cfg.PKIDir, "ca.crt"),
		"tenant_certificate", filepath.Join(cfg.PKIDir, tenant+".crt"), "tenant_key", filepath.Join(cfg.PKIDir, tenant+".key"))
	return serve(ctx, cfg, db, s)
}

// serve answers until ctx ends. The database's writer outlives those who write.
func serve(ctx context.Context, cfg Config, db *store.Store, s *servers) error {
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var writer errgroup.Group
	writer.Go(func() error { return db.Run(writing) })
	if cfg.OnReady != nil {
		cfg.OnReady(Addresses{REST: s.operators.Addr(), Registration: s.agents.Addr()})
	}
	err := s.run(ctx)
	stop()
	return errors.Join(err, writer.Wait())
}

// identity opens the installation's CA, or makes it, and issues what is due.
func identity(cfg Config) (*pki.Authority, *pki.Server, error) {
	ca, err := pki.Open(cfg.PKIDir)
	if err != nil {
		return nil, nil, err
	}
	server, err := ca.Server("registrar", cfg.ServerNames)
	if err != nil {
		return nil, nil, err
	}
	return ca, server, ca.EnsureClient(tenant, string(rest.RoleOperator))
}
