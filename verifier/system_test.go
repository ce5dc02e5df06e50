package verifier_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"quicklime/verifier"
	"quicklime/wire"
	"quicklime/wire/conf"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// system is a host that runs and is trusted under a policy; only growth of its list
// makes evidence.
type system struct {
	testing.TB
	*host
	disk string // a folder of the verifier
}

func newSystem(t testing.TB) *system {
	t.Helper()
	disk, err := os.MkdirTemp("/var/tmp", "quicklime") // /tmp may be memory, where a commit costs nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	in := newInstallation(t, func(c *verifier.Config) {
		c.StateDir = disk
		c.Challenge.Interval = conf.Duration(10 * time.Minute)
	})
	s := &system{t, in.newHost("box"), disk}
	enrolment := s.enrolment()
	enrolment.Policy = "small"
	in.call("POST", rest.AddPolicy.Pattern, rest.PolicyRequest{Name: enrolment.Policy, Text: rest.Text(policyOf(10_000))}, nil)
	in.call("POST", rest.EnrolAgent.Pattern, enrolment, nil)
	s.measureFile("/usr/bin/0") // as a booted machine has measured more than its boot
	s.run()
	for late := time.Now().Add(patience); s.status().Trust != wire.Trusted; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("it is %+v; the verifier says:\n%s", s.status(), in.log)
		}
	}
	return s
}

// quote has the TPM quote, for nobody.
func (s *system) quote() {
	sel := pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}
	if _, _, err := s.device.Quote(sel, make([]byte, 32)); err != nil {
		s.Fatal(err)
	}
}

// database is a database of its own on the verifier's disk, with one table.
func (s *system) database() *sqlite.DB {
	s.Helper()
	db, err := sqlite.Open(filepath.Join(s.disk, "bare.db"), fstest.MapFS{"0001_table.sql": {Data: []byte("CREATE TABLE t (v INTEGER) STRICT")}})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	s.Cleanup(func() {
		cancel()
		<-ended
		db.Close()
	})
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
