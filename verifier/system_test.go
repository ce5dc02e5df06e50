package verifier_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"quicklime/agent"
	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/tenant/client"
	"quicklime/verifier"
	"quicklime/wire/conf"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
	"quicklime/wire/tpm"
)

// system is a machine with a TPM, its agent, and a verifier that knows it under a
// policy, all in this process but the TPM.
type system struct {
	testing.TB
	dir     string         // on disk
	tpm     *tpmdev.Device // the kernel's
	entries uint64         // in the list
	log     recorder       // of agent and verifier
	failed  chan error     // why a daemon stopped; has room for each
}

// newSystem makes the machine and its TPM. Nothing watches yet.
func newSystem(t testing.TB) *system {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "quicklime") // /tmp may be memory, where a commit costs nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &system{TB: t, dir: dir, log: newRecorder(), failed: make(chan error, 3)}
	if err := swtpm.Create(t.Context(), s.tpmDir(), []pcr.Bank{pcr.SHA256}); err != nil {
		t.Fatal(err)
	}
	swtpmtest.Start(t, s.tpmDir())
	if s.tpm, err = tpmdev.OpenShared(swtpm.Device(s.tpmDir())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.tpm.Close() })
	s.measure("boot_aggregate")
	return s
}

func (s *system) tpmDir() string { return filepath.Join(s.dir, "tpm") }

// run starts verifier and agent, which run until the test ends, and waits until
// the agent is trusted.
func (s *system) run() {
	s.Helper()
	verifierAddr := s.verifier()
	machine := s.enrolment()
	ca, err := pki.Open(s.pki())
	if err != nil {
		s.Fatal(err)
	}
	operator, err := pki.ClientTLS(filepath.Join(s.pki(), "ca.crt"), filepath.Join(s.pki(), "tenant.crt"), filepath.Join(s.pki(), "tenant.key"))
	if err != nil {
		s.Fatal(err)
	}
	c, err := client.NewVerifier("https://"+verifierAddr, operator)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := c.AddPolicy(s.Context(), machine.Policy, policyOf(10_000)); err != nil {
		s.Fatal(err)
	}
	a, err := c.Enrol(s.Context(), machine)
	if err != nil {
		s.Fatal(err)
	}
	s.agent(jointoken.Membership{
		ID: machine.ID, TokenID: "0123456789abcdef", CAPin: ca.Pin(),
		Registrar: jointoken.Server{Address: "127.0.0.1:1", ServerName: "127.0.0.1"},
		Verifier:  jointoken.Server{Address: verifierAddr, ServerName: "127.0.0.1"},
	})
	for late := time.Now().Add(patience); a.Trust != "trusted"; {
		if a, err = c.Agent(s.Context(), machine.ID); err != nil || time.Now().After(late) {
			s.Fatalf("it is %q: %v", a.Trust, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *system) pki() string { return filepath.Join(s.dir, "pki") }

// verifier returns the address of one.
func (s *system) verifier() string {
	s.Helper()
	cfg := verifier.DefaultConfig()
	cfg.Listen, cfg.ServerNames = "127.0.0.1:0", []string{"127.0.0.1"}
	cfg.StateDir, cfg.PKIDir = filepath.Join(s.dir, "verifier"), s.pki()
	cfg.Challenge.Interval = conf.Duration(10 * time.Minute) // growth alone makes evidence
	cfg.Log = slog.New(s.log)
	ready := make(chan string, 1)
	cfg.OnReady = func(address string) { ready <- address }
	s.daemon(func(ctx context.Context) error { return verifier.Run(ctx, cfg) })
	select {
	case address := <-ready:
		return address
	case err := <-s.failed:
		s.Fatal(err)
	case <-time.After(patience):
		s.Fatal("the verifier does not start")
	}
	return ""
}

// agent starts one that has joined.
func (s *system) agent(m jointoken.Membership) {
	s.Helper()
	cfg := agent.DefaultConfig()
	cfg.TPMDevice, cfg.IMAList, cfg.BootLog = swtpm.Device(s.tpmDir()), s.list(), filepath.Join(s.dir, "binary_bios_measurements")
	cfg.StateDir = filepath.Join(s.dir, "agent")
	cfg.Log = slog.New(s.log)
	text, err := m.Encode()
	if err != nil {
		s.Fatal(err)
	}
	if err := os.Mkdir(cfg.StateDir, 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "membership.json"), text, 0o600); err != nil {
		s.Fatal(err)
	}
	s.daemon(func(ctx context.Context) error { return agent.Run(ctx, cfg) })
}

// daemon runs one until the test ends.
func (s *system) daemon(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil || ctx.Err() == nil {
			s.failed <- err
		}
	}()
	s.Cleanup(func() { cancel(); <-done })
}

// enrolment is the machine's.
func (s *system) enrolment() rest.Enrolment {
	s.Helper()
	device, err := tpmdev.Open(swtpm.Device(s.tpmDir()))
	if err != nil {
		s.Fatal(err)
	}
	defer device.Close()
	e, err := device.Endorsement()
	if err != nil {
		s.Fatal(err)
	}
	ek, err := tpm.ParsePublic(e.Public)
	if err != nil {
		s.Fatal(err)
	}
	ak, err := device.AK()
	if err != nil {
		s.Fatal(err)
	}
	transport, err := device.Transport()
	if err != nil {
		s.Fatal(err)
	}
	return rest.Enrolment{
		ID: ek.AgentID(), Label: "box", EKPublic: e.Public, AKPublic: ak, Transport: transport.PublicArea(),
		LowestBank: pcr.SHA256, Policy: "small",
	}
}

// quote has the TPM quote, for nobody.
func (s *system) quote() {
	sel := pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}
	if _, _, err := s.tpm.Quote(sel, make([]byte, 32)); err != nil {
		s.Fatal(err)
	}
}

// database is a database of its own on the verifier's disk, with one table.
func (s *system) database() *sqlite.DB {
	s.Helper()
	db, err := sqlite.Open(filepath.Join(s.dir, "bare.db"), fstest.MapFS{"0001_table.sql": {Data: []byte("CREATE TABLE t (v INTEGER) STRICT")}})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { db.Close() })
	s.daemon(db.Run)
	return db
}

// commit commits a row.
func (s *system) commit(db *sqlite.DB) {
	err := db.Write(s.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (1)")
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
}
