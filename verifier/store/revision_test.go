package store_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm/softtpm"
)

// damaged is a store beside which a test writes to the database.
type damaged struct {
	*store.Store
	t  *testing.T
	db *sql.DB
}

func newDamaged(t *testing.T) damaged {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return damaged{s, t, db}
}

func (d damaged) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		d.t.Fatal(err)
	}
}

// I07: trust that reaches further ahead than a nonce can bring it is from before
// the clock was set back.
func TestI07_TrustFromTheFuture(t *testing.T) {
	d := newDamaged(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, d.Store, "web", "/bin/a")
	e := enrol(t, d.Store, m, "web")
	commit(t, d.Store, m, e, p)
	d.exec(`UPDATE state SET trusted_until = trusted_until + ?`, time.Hour.Milliseconds())
	if a := trust(t, d.Store); a.Trust != wire.Stale {
		t.Errorf("%s (%s)", a.Trust, a.Reason)
	}
}

// I10: what cannot be read of one agent is said, and hides no other.
func TestI10_DamagedRowsHideNothing(t *testing.T) {
	d := newDamaged(t)
	addPolicy(t, d.Store, "web", "/bin/a")
	first, second := verifiertest.New(t), verifiertest.New(t)
	e := enrol(t, d.Store, first, "web")
	second.AgentID = strings.Repeat("b2", 32)
	transport := softtpm.NewTransport(t)
	if err := d.Enrol(t.Context(), rest.Enrolment{ID: second.AgentID, EKPublic: []byte("ek"), AKPublic: second.AK.Public.Bytes(),
		Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: "web"}); err != nil {
		t.Fatal(err)
	}
	first.File("/bin/b", bad)
	_, p := policyOf(t, "web", "/bin/a")
	commit(t, d.Store, first, e, p)
	commit(t, d.Store, second, bySPKI(t, d.Store, transport), p)
	r, _ := policyOf(t, "web", "/bin/c")
	if err := d.RuntimePolicies.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}

	d.exec(`UPDATE failure SET body = x'00'`)
	if f, _, err := d.Failures(t.Context(), verifiertest.AgentID); err != nil || len(f) != 1 || f[0].ID != wire.RecordUnreadable {
		t.Errorf("failures %+v, %v", f, err)
	}
	d.exec(`DROP TRIGGER enrolment_is_immutable`) // a disk asks no database
	d.exec(`UPDATE enrolment SET ak = x'00' WHERE id = ?`, e.ID)
	if all, err := d.Unjudged(t.Context()); err != nil || len(all) != 1 || all[0].Agent != second.AgentID {
		t.Errorf("to be judged: %+v, %v", all, err)
	}
	d.exec(`UPDATE enrolment SET lowest_bank = 1 << 20 WHERE id = ?`, e.ID)
	if l, err := d.Agents(t.Context()); err != nil || l.Unreadable != 1 || len(l.Agents) != 1 || l.Agents[0].ID != second.AgentID {
		t.Errorf("agents %+v, %v", l, err)
	}
}

// I14: what was cleared in one boot is not cleared in the next, whose entries are
// others.
func TestI14_AnotherBootIsNotCleared(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	if err := clearSeen(t, s, 1); err != nil {
		t.Fatal(err)
	}
	m.Reboot()
	m.File("/bin/b", bad)
	if st := commit(t, s, m, e, p); st.Failures != 1 {
		t.Errorf("%d failures of the next boot", st.Failures)
	}
}

// I22: no write leaves the revision as it was, so none goes unnoticed by whoever
// computed from the state before it.
func TestI22_EveryWriteRaisesTheRevision(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	name, label := "web", "another"
	fail := func(st store.Standing) error {
		m.PCR.Extend(ima.NewFileEntry(pcr.SHA256, bad, "/foreign"))
		ev, list := m.Evidence(0)
		b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
		if err != nil {
			return err
		}
		_, err = s.Fail(t.Context(), e, st, outcome(b, list, p).Result)
		return err
	}
	for _, write := range []struct {
		name string
		do   func() error
	}{
		{"a label", func() error { return s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Label: &label}) }},
		{"a policy", func() error { return s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &name}) }},
		{"a policy replaced", func() error { r, _ := policyOf(t, "web", "/bin/a"); return s.RuntimePolicies.Update(t.Context(), r) }},
		{"a rejection", func() error { return s.Reject(t.Context(), e, wire.QuoteInvalid, "x") }},
		{"an attestation", func() error { commit(t, s, m, e, p); return nil }},
		{"a clearing", func() error { return clearSeen(t, s, 0) }},
		{"a failure", func() error { m.Reboot(); return fail(standing(t, s, e)) }},
	} {
		before := standing(t, s, e)
		if err := write.do(); err != nil {
			t.Fatalf("%s: %v", write.name, err)
		}
		if after := standing(t, s, e); after.Revision <= before.Revision {
			t.Errorf("%s: revision %d after %d", write.name, after.Revision, before.Revision)
		}
		if write.name == "a failure" {
			if err := fail(before); !errors.Is(err, store.ErrConflict) {
				t.Errorf("a failure found at an old state: %v", err)
			}
		}
	}
}
