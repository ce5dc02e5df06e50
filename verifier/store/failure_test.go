package store_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Failures of an earlier boot keep their entry, so that they can be judged again.
func TestI14_PastFailures(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/b", good)
	commit(t, s, m, e, p)
	m.File("/bin/c", bad)
	commit(t, s, m, e, p)
	m.Reboot()
	st := commit(t, s, m, e, p)
	past, err := s.PastFailures(t.Context(), st)
	if err != nil || len(past) != 2 {
		t.Fatalf("%+v, %v", past, err)
	}
	for i, want := range []string{"/bin/b", "/bin/c"} {
		if ev, err := past[i].Entry.Event(); err != nil || string(ev.Name) != want || past[i].Failure.Path != want {
			t.Errorf("%s: %+v, %v", want, past[i], err)
		}
	}
}

func TestKeptFailuresAreBounded(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	for i := range wire.MaxKeptFailures + 5 {
		m.File(fmt.Sprintf("/bin/%d", i), bad)
	}
	commit(t, s, m, e, p)
	if a := trust(t, s); a.FailureCount != wire.MaxKeptFailures+5 {
		t.Errorf("%d failures", a.FailureCount)
	}
	failures, _, err := s.Failures(t.Context(), verifiertest.AgentID)
	if err != nil || len(failures) != wire.MaxKeptFailures {
		t.Errorf("%d shown, %v", len(failures), err)
	}
}

// I04: a machine that reboots for ever, each time with as many failures as are
// kept, is counted on and fills no disk.
func TestI04_KeptFailuresOfAllBootsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	const boots = wire.MaxKeptFailuresAll/wire.MaxKeptFailures + 2
	for boot := range boots {
		for i := range wire.MaxKeptFailures {
			m.File(fmt.Sprintf("/bin/%d", i), bad)
		}
		commit(t, s, m, e, p)
		if a := trust(t, s); a.FailureCount != (boot+1)*wire.MaxKeptFailures {
			t.Errorf("boot %d: %d failures", boot, a.FailureCount)
		}
		m.Reboot()
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var kept int
	if err := db.QueryRow(`SELECT count(*) FROM failure`).Scan(&kept); err != nil || kept != wire.MaxKeptFailuresAll {
		t.Errorf("%d are kept, %v", kept, err)
	}
}

// I04: so is a machine that boots for ever without IMA.
func TestI04_FailuresOfEmptyBootsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	s := open(t, path)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	boot := func() {
		m.AK.Counters.Reset++
		m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
		commit(t, s, m, e, p)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	boot()
	const before, after = wire.MaxKeptFailures - 4, 8 // so many boots more, in one write and by evidence
	_, err = db.Exec(`WITH RECURSIVE boot(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM boot WHERE n < ?)
		INSERT INTO failure (enrolment, epoch, part, entry, id, key, body, first_at, last_at, below)
		SELECT enrolment, CAST(n AS BLOB), part, entry, id, key, body, first_at, last_at, below FROM boot, failure`, before)
	if err != nil {
		t.Fatal(err)
	}
	for range after {
		boot()
	}
	const boots = 1 + before + after
	var kept int
	if err := db.QueryRow(`SELECT count(*) FROM failure`).Scan(&kept); err != nil || kept > wire.MaxKeptFailures+1 {
		t.Errorf("%d are kept, %v", kept, err)
	}
	if a := trust(t, s); a.FailureCount != boots {
		t.Errorf("%d failures of %d boots", a.FailureCount, boots)
	}
}

// What an operator has cleared stays cleared, and what is beyond the limit of what
// is kept is not forgotten: by a reboot, a policy change, or both.
func TestI14_FailuresBeyondTheLimit(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	want := func(when string, failures int) {
		t.Helper()
		if a := trust(t, s); a.FailureCount != failures {
			t.Errorf("%s: %d failures, want %d", when, a.FailureCount, failures)
		}
	}
	rejudge := func() {
		t.Helper()
		st := standing(t, s, e)
		fresh := m.Standing()
		var err error
		if fresh.Cleared, err = s.ClearedFindings(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		o := again(t, s, e, st, fresh, p)
		if _, err := s.Rejudge(t.Context(), e, st, store.Rejudged{Result: o.Result, Failed: o.Failed}); err != nil {
			t.Fatal(err)
		}
	}
	bad := func(n int) {
		for range n {
			m.File(fmt.Sprintf("/bad/%d", len(m.List)), bad)
		}
		commit(t, s, m, e, p)
	}
	bad(wire.MaxKeptFailures + 2)
	want("at first", wire.MaxKeptFailures+2)
	rejudge()
	want("judged again", wire.MaxKeptFailures+2)
	if err := clearSeen(t, s, wire.MaxKeptFailures+2); err != nil {
		t.Fatal(err)
	}
	want("cleared, but for those that nobody saw", 2)
	rejudge()
	want("judged again", 2)
	if err := clearSeen(t, s, 2); err != nil {
		t.Fatal(err)
	}
	rejudge()
	want("all cleared and judged again", 0)
	bad(1)
	want("one more", 1)
	bad(wire.MaxKeptFailures)
	want("many more", wire.MaxKeptFailures+1)
	m.Reboot()
	commit(t, s, m, e, p)
	rejudge()
	want("after a reboot", wire.MaxKeptFailures+1)
}

// Failures that are not about an entry are kept whatever else is.
func TestRollbackIsOneFailure(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	for i := range wire.MaxKeptFailures {
		m.File(fmt.Sprintf("/bad/%d", i), bad)
	}
	commit(t, s, m, e, p)
	for i := range 3 {
		m.Boot = bytes.Repeat([]byte{byte(i)}, 32) // the same boot with other contents
		st := standing(t, s, e)
		ev, _ := m.Evidence(0)
		b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
		if err != nil {
			t.Fatal(err)
		}
		o := outcome(b, nil, p)
		if _, err := s.Fail(t.Context(), e, st, o.Result); err != nil {
			t.Fatal(err)
		}
	}
	if a := trust(t, s); a.FailureCount != wire.MaxKeptFailures+1 {
		t.Errorf("%d failures", a.FailureCount)
	}
}

// What says that the list is not of this boot cannot be cleared away; and after
// evidence that fails as a whole, clearing brings back no trust that is older.
func TestI07_I19_ClearIsNoTrust(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.Boot = bytes.Repeat([]byte{6}, 32) // not what boot_aggregate says
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	if err := clearSeen(t, s, 2); err != nil {
		t.Fatal(err)
	}
	a := trust(t, s)
	if a.Trust != wire.Untrusted || a.FailureCount != 1 || a.Cleared == nil || a.Cleared.Count != 1 {
		t.Errorf("%+v, cleared %+v", a, a.Cleared)
	}
	m.Reboot()
	m.File("/bin/a", good)
	commit(t, s, m, e, p)
	if err := clearSeen(t, s, 1); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Trusted || a.Cleared.Count != 2 {
		t.Errorf("the next boot: %+v", a)
	}

	m.PCR.Extend(ima.NewFileEntry(pcr.SHA256, bad, "/foreign"))
	st := standing(t, s, e)
	ev, list := m.Evidence(1)
	b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fail(t.Context(), e, st, outcome(b, list, p).Result); err != nil {
		t.Fatal(err)
	}
	if err := clearSeen(t, s, 1); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Stale {
		t.Errorf("after a mismatch that was cleared: %+v", a)
	}
}
