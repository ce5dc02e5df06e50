package store_test

import (
	"fmt"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// I10: state that cannot be read is an error, and neither a panic nor another
// list.
func TestI10_DamagedStateIsAnError(t *testing.T) {
	for _, damage := range []string{
		`UPDATE state SET boot = x'00'`,
		`UPDATE state SET pcr = x'00'`,
		`UPDATE segment SET entries = x'ff'`,
		`DELETE FROM segment`,
		`DELETE FROM entry`,
	} {
		d := newDamaged(t)
		m := verifiertest.New(t)
		e := enrol(t, d.Store, m, "")
		commit(t, d.Store, m, e, nil)
		d.exec(damage)
		st, err := d.Standing(t.Context(), e)
		if err == nil {
			_, err = replay(t, d.Store, st)
		}
		if err == nil {
			t.Errorf("%s: no error", damage)
		}
	}
}

// I04: so many failures of one boot are kept, however many evidences bring them.
func TestI04_KeptFailuresAreBounded(t *testing.T) {
	d := newDamaged(t)
	m := verifiertest.New(t)
	p := addPolicy(t, d.Store, "web", "/bin/a")
	e := enrol(t, d.Store, m, "web")
	for range 3 {
		for range wire.MaxKeptFailures * 3 / 5 {
			m.File(fmt.Sprintf("/bad/%d", len(m.List)), bad)
		}
		commit(t, d.Store, m, e, p)
	}
	var kept int
	if err := d.db.QueryRow(`SELECT count(*) FROM failure`).Scan(&kept); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, d.Store); kept != wire.MaxKeptFailures || a.FailureCount != wire.MaxKeptFailures*9/5 {
		t.Errorf("%d kept of %d", kept, a.FailureCount)
	}
}

// I07: the first evidence of all may fail, and then that is known.
func TestI07_FirstEvidenceThatFailsIsRecorded(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.PCR.Extend(ima.NewFileEntry(pcr.SHA256, bad, "/foreign"))
	st := standing(t, s, e)
	ev, list := m.Evidence(0)
	b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fail(t.Context(), e, st, outcome(b, list, p).Result); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Untrusted || a.FailureCount != 1 {
		t.Errorf("%+v", a)
	}
}
