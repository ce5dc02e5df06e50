package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/policy"
	"quicklime/verifier/store"
	"quicklime/verifier/store/storetest"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

var good, bad = pcr.SHA256.Sum([]byte("good")), pcr.SHA256.Sum([]byte("bad"))

var (
	newStore = storetest.New
	enrol    = storetest.Enrol
	bySPKI   = storetest.BySPKI
)

// open opens the store at path, which runs until the test ends.
func open(t testing.TB, path string) *store.Store {
	t.Helper()
	return storetest.Open(t, path, store.Routing{})
}

// policyOf makes a policy that allows paths with the good digest.
func policyOf(t testing.TB, name string, paths ...string) (rest.RuntimePolicy, *policy.Policy) {
	t.Helper()
	return policyWith(t, name, "", paths...)
}

// policyWith makes one with more members.
func policyWith(t testing.TB, name, more string, paths ...string) (rest.RuntimePolicy, *policy.Policy) {
	t.Helper()
	digests := map[string][]string{}
	for _, p := range paths {
		digests[p] = []string{hex.EncodeToString(good)}
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]any{"version": 1}, "digests": digests})
	if err != nil {
		t.Fatal(err)
	}
	if more != "" {
		text = append(bytes.TrimSuffix(text, []byte("}")), ","+more+"}"...)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return rest.RuntimePolicy{Policy: rest.Policy{Name: name, Digest: p.Digest(), Text: string(text)}, Paths: p.Paths(), Empty: p.Empty()}, p
}

func addPolicy(t testing.TB, s *store.Store, name string, paths ...string) *policy.Policy {
	t.Helper()
	r, p := policyOf(t, name, paths...)
	if err := s.RuntimePolicies.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return p
}

// outcome has the list arrive.
func outcome(b *appraise.Begun, list []byte, p *policy.Policy, visitors ...ima.Visitor) appraise.Outcome {
	a := new(appraise.Appraisal)
	a.Begin(b, p, visitors...)
	a.Write(list)
	return a.Outcome(b)
}

// replay replays the stored list of a state.
func replay(t testing.TB, s *store.Store, st store.Standing) (ima.Replayed, error) {
	stream := ima.NewStream(ima.NewState(st.Resume.Bank()))
	if err := s.Visit(t.Context(), st, stream); err != nil {
		return ima.Replayed{}, err
	}
	return stream.Finish()
}

// again judges the stored list of a state by a policy.
func again(t testing.TB, s *store.Store, e store.Enrolment, st store.Standing, fresh appraise.Standing, p *policy.Policy) appraise.Outcome {
	t.Helper()
	proof, err := s.Proof(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	b, err := appraise.Begin(fresh, proof.Question, wire.Evidence{Envelope: proof.Envelope, PCRs: proof.PCRs, IMA: wire.Span{Count: st.Resume.Entries(), Padded: st.Resume.Padded()}})
	if err != nil {
		t.Fatal(err)
	}
	a := new(appraise.Appraisal)
	a.Begin(b, p)
	if err := s.Visit(t.Context(), st, a); err != nil {
		t.Fatal(err)
	}
	return a.Outcome(b)
}

// attest takes the machine's list from where it was left and returns what is to
// be committed.
func attest(t testing.TB, s *store.Store, m *verifiertest.Machine, st store.Standing, p *policy.Policy) store.Accepted {
	t.Helper()
	first := int(st.Resume.Entries())
	if st.Epoch != nil && st.Epoch.Counters != m.AK.Counters {
		first = 0
	}
	ev, list := m.Evidence(first)
	st.Standing.Severity = s.Severity()
	b, err := appraise.Begin(st.Standing, verifiertest.Question(), ev)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Collect()
	o := outcome(b, list, p, c)
	if !o.Accepted {
		t.Fatalf("%+v", o.Result.Failures)
	}
	numbers, err := s.AddEntries(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return store.Accepted{Begun: b, Outcome: o, Entries: numbers, NonceIssued: now, TrustedUntil: now.Add(time.Minute),
		Evidence: store.Evidence{Envelope: ev.Envelope, PCRs: ev.PCRs, Question: verifiertest.Question()}}
}

// clearSeen clears what stands, of which the operator has seen so many.
func clearSeen(t testing.TB, s *store.Store, n int) error {
	t.Helper()
	_, listed, err := s.Failures(t.Context(), verifiertest.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	return s.Clear(t.Context(), verifiertest.AgentID, rest.ClearRequest{Failures: n, Listed: listed})
}

func standing(t testing.TB, s *store.Store, e store.Enrolment) store.Standing {
	t.Helper()
	st, err := s.Standing(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// commit attests and commits.
func commit(t testing.TB, s *store.Store, m *verifiertest.Machine, e store.Enrolment, p *policy.Policy) store.Standing {
	t.Helper()
	st := standing(t, s, e)
	next, err := s.Commit(t.Context(), e, st, attest(t, s, m, st, p))
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func trust(t testing.TB, s *store.Store) rest.Agent {
	t.Helper()
	a, err := s.Agent(t.Context(), verifiertest.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestI07_I22_AgentThroughItsStates(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	if a := trust(t, s); a.Trust != wire.Pending || a.Policies.Runtime != "web" || a.Policies.Boot != wire.NotEvaluated || a.Epoch != nil {
		t.Errorf("enrolled: %+v", a)
	}
	m.File("/bin/a", good)
	st := commit(t, s, m, e, p)
	if a := trust(t, s); a.Trust != wire.Trusted || a.Epoch.Entries != 2 || a.Last.First != 0 || a.Last.Entries != 2 || a.Revision != st.Revision {
		t.Errorf("attested: %+v", a)
	}
	m.File("/bin/a", bad)
	m.File("/bin/b", bad)
	commit(t, s, m, e, p)
	if a := trust(t, s); a.Trust != wire.Untrusted || a.FailureCount != 2 || a.Epoch.Entries != 4 || a.Last.First != 2 {
		t.Errorf("failed: %+v", a)
	}
	failures, _, err := s.Failures(t.Context(), verifiertest.AgentID)
	if err != nil || len(failures) != 2 || failures[0].ID != wire.IMAWrongDigest || *failures[0].Entry != 2 || failures[1].ID != wire.IMANotInPolicy {
		t.Errorf("%+v, %v", failures, err)
	}
	if err := clearSeen(t, s, 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cleared unseen: %v", err)
	}
	if err := clearSeen(t, s, 2); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Trusted || a.FailureCount != 0 {
		t.Errorf("cleared: %+v", a)
	}
}

func TestI07_TrustRunsOut(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	m.File("/bin/a", good)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(-time.Hour)
	a.TrustedUntil = a.NonceIssued.Add(time.Minute)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.Trust != wire.Stale {
		t.Errorf("%+v", got)
	}
	// An older nonce never shortens trust that a newer one brought.
	commit(t, s, m, e, p)
	st = standing(t, s, e)
	a = attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(-time.Hour)
	a.TrustedUntil = a.NonceIssued.Add(time.Minute)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.Trust != wire.Trusted {
		t.Errorf("%+v", got)
	}
}

func TestI21_WithoutAPolicyNothingIsTrusted(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	commit(t, s, m, e, nil)
	if a := trust(t, s); a.Trust != wire.Unjudged || a.Policies.Runtime != wire.NotEvaluated {
		t.Errorf("%+v", a)
	}
	addPolicy(t, s, "empty")
	name := "empty"
	if err := s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &name}); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Unjudged || a.Policies.Runtime != wire.NotEvaluated {
		t.Errorf("an empty policy: %+v", a)
	}
}

// I22: of two who computed from one revision, one wins.
func TestI22_CompareAndSwap(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)

	var wins, conflicts int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := s.Commit(t.Context(), e, st, a)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins++
			case errors.Is(err, store.ErrConflict):
				conflicts++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins != 1 || conflicts != 7 {
		t.Errorf("%d won, %d lost", wins, conflicts)
	}
}

// I22: a verdict computed under a policy that is not in force any more, or for an
// agent whose policy was changed, cannot be committed.
func TestI22_PolicyChangesRaceEvidence(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	addPolicy(t, s, "db", "/bin/a")
	e := enrol(t, s, m, "web")
	db := "db"
	type change struct {
		name string
		do   func() error
	}
	try := func(c change) {
		st := standing(t, s, e)
		a := attest(t, s, m, st, p)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, c := range []change{
		{"failures cleared", func() error { return clearSeen(t, s, 0) }},
		{"a rejection in between", func() error { return s.Reject(t.Context(), e, wire.QuoteInvalid, "x") }},
		{"policy replaced", func() error { r, _ := policyOf(t, "web", "/bin/b"); return s.RuntimePolicies.Update(t.Context(), r) }},
		{"judged by one that is not in force", func() error { return nil }},
		{"policy exchanged", func() error { return s.Update(t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &db}) }},
	} {
		try(c)
	}
}

// I22, the ABA case: an agent is deleted and enrolled again with the same keys,
// so that everything looks as before. Evidence for the first enrolment does not
// count for the second.
func TestI22_DeleteAndEnrolAgain(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	transport := softtpm.NewTransport(t)
	again := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(), Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: "web"}
	if err := s.Enrol(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	e := bySPKI(t, s, transport)
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := s.Enrol(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	second := bySPKI(t, s, transport)
	if second.ID == e.ID || standing(t, s, second).Revision != st.Revision {
		t.Fatalf("the same record again, or another revision: %+v", second)
	}
	if _, err := s.Commit(t.Context(), e, st, a); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("enrolled again: %v", err)
	}
	if a := trust(t, s); a.Trust != wire.Pending {
		t.Errorf("%+v", a)
	}
}

func TestI06_I11_EnrolmentIsUnique(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	transport := softtpm.NewTransport(t)
	e := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: m.AK.Public.Bytes(), Transport: transport.Public.Bytes(), LowestBank: pcr.SHA256}
	if err := s.Enrol(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Enrol(t.Context(), e); !errors.Is(err, store.ErrConflict) {
		t.Errorf("again: %v", err)
	}
	other := e
	other.ID = hex.EncodeToString(bytes.Repeat([]byte{2}, 32))
	if err := s.Enrol(t.Context(), other); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another agent with the same transport key: %v", err)
	}
	twice := e
	twice.Transport = softtpm.NewTransport(t).Public.Bytes()
	if err := s.Enrol(t.Context(), twice); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same agent with another transport key: %v", err)
	}
	other.Transport, other.Policy = softtpm.NewTransport(t).Public.Bytes(), "none"
	if err := s.Enrol(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown policy: %v", err)
	}
	if _, err := s.Rebind(t.Context(), e); !errors.Is(err, store.ErrConflict) {
		t.Errorf("rebound to the same keys: %v", err)
	}
	e.Transport = softtpm.NewTransport(t).Public.Bytes()
	if _, err := s.Rebind(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := s.BySPKI(t.Context(), spkiOf(t, transport)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the old transport key: %v", err)
	}
}

// The stored entries of an epoch are the list, and entries that two machines
// share are stored once.
func TestListIsKept(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	e := enrol(t, s, m, "")
	for i := range 5000 {
		m.File(fmt.Sprintf("/bin/%d", i), good)
	}
	commit(t, s, m, e, nil)
	m.File("/bin/3", good) // an entry that is there already
	st := commit(t, s, m, e, nil)
	r, err := replay(t, s, st)
	if err != nil {
		t.Fatal(err)
	}
	if r.To() != m.PCR {
		t.Errorf("the stored list of %d entries replays to another PCR", len(m.List))
	}
	if _, err := replay(t, s, standing(t, s, e)); err != nil {
		t.Errorf("after reading the state anew: %v", err)
	}
}

func TestI22_Rejudge(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/b", good)
	m.File("/bin/c", good)
	commit(t, s, m, e, p)
	m.Reboot()
	m.File("/bin/b", good)
	commit(t, s, m, e, p)
	if a := trust(t, s); a.FailureCount != 3 {
		t.Fatalf("%+v", a)
	}

	r, next := policyOf(t, "web", "/bin/a", "/bin/b")
	if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := clearSeen(t, s, 3); err != nil {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Pending {
		t.Errorf("before it is judged again: %+v", a)
	}
	all, err := s.Unjudged(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != e.ID || all[0].SPKI != e.SPKI {
		t.Fatalf("%+v, %v", all, err)
	}
	st := standing(t, s, e)
	o := again(t, s, e, st, m.Standing(), next)
	if !o.Accepted || len(o.Result.Failures) != 0 {
		t.Fatalf("%+v", o)
	}
	if next, err := s.Rejudge(t.Context(), e, st, store.Rejudged{Result: o.Result, Failed: o.Failed}); err != nil || next.Revision <= st.Revision {
		t.Fatal(err)
	}
	if a := trust(t, s); a.Trust != wire.Trusted {
		t.Errorf("%+v", a)
	}
	if _, err := s.Rejudge(t.Context(), e, st, store.Rejudged{Result: o.Result, Failed: o.Failed}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from an old state: %v", err)
	}
}

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

// The length of the list goes on within a boot and begins anew with the next.
func TestLengthOfTheList(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	want := func() {
		t.Helper()
		commit(t, s, m, e, p)
		var list []byte
		for _, entry := range m.List {
			list = entry.AppendTo(list)
		}
		if got := standing(t, s, e).Bytes; got != uint64(len(list)) {
			t.Errorf("%d bytes, want %d", got, len(list))
		}
	}
	want()
	m.File("/bin/a", good)
	want()
	want()
	m.Reboot()
	want()
}

// What was committed survives a process that ends without a word.
func TestStateSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verifier.db")
	first := open(t, path)
	m := verifiertest.New(t)
	p := addPolicy(t, first, "web", "/bin/a")
	e := enrol(t, first, m, "web")
	st := commit(t, first, m, e, p)
	second := open(t, path)
	got := standing(t, second, e)
	if got.Revision != st.Revision || got.Resume != st.Resume || !bytes.Equal(got.EpochID, st.EpochID) || got.Clock != st.Clock {
		t.Errorf("%+v, want %+v", got, st)
	}
}

func TestChangesWakeWhoWaits(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	changed, leave := s.Changed(verifiertest.AgentID)
	defer leave()
	select {
	case <-changed:
		t.Fatal("woken before anything changed")
	default:
	}
	enrol(t, s, m, "")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("not woken")
	}
}

func TestPoliciesInUseStay(t *testing.T) {
	s := newStore(t)
	addPolicy(t, s, "web", "/bin/a")
	enrol(t, s, verifiertest.New(t), "web")
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); !errors.Is(err, store.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if _, err := s.Delete(t.Context(), verifiertest.AgentID); err != nil {
		t.Fatal(err)
	}
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	if err := s.RuntimePolicies.Delete(t.Context(), "web"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

func spkiOf(t testing.TB, k *softtpm.AK) [32]byte {
	t.Helper()
	spki, err := tpm.SPKIHash(k.Public.Key())
	if err != nil {
		t.Fatal(err)
	}
	return spki
}

func TestSignedPolicyKeepsItsEnvelope(t *testing.T) {
	s := newStore(t)
	keepsEnvelope(t, s.RuntimePolicies, func(p rest.Policy) rest.RuntimePolicy { return rest.RuntimePolicy{Policy: p} }, (*rest.RuntimePolicy).Common)
	keepsEnvelope(t, s.BootPolicies, func(p rest.Policy) rest.BootPolicy { return rest.BootPolicy{Policy: p} }, (*rest.BootPolicy).Common)
}

func keepsEnvelope[T any](t *testing.T, s store.Policies[T], of func(rest.Policy) T, common func(*T) *rest.Policy) {
	t.Helper()
	p := rest.Policy{Name: "p", Text: "{}", Digest: "d", Envelope: "{\"payload\": \"e30=\"}\n", SignedBy: []rest.Signer{{KeyID: "k", Subject: "CN=é"}}}
	if err := s.Add(t.Context(), of(p)); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Signed(t.Context(), "p")
	if got := common(&stored); err != nil || got.Text != p.Text || got.Envelope != p.Envelope || !slices.Equal(got.SignedBy, p.SignedBy) {
		t.Errorf("%+v, %v", got, err)
	}
	stored, err = s.Get(t.Context(), "p")
	if got := common(&stored); err != nil || got.Envelope != "" || !slices.Equal(got.SignedBy, p.SignedBy) {
		t.Errorf("%+v, %v", got, err)
	}
	p.Envelope, p.SignedBy = "", nil
	if err := s.Update(t.Context(), of(p)); err != nil {
		t.Fatal(err)
	}
	stored, err = s.Signed(t.Context(), "p")
	if got := common(&stored); err != nil || got.Envelope != "" || got.SignedBy != nil {
		t.Errorf("replaced by one that nobody signed: %+v, %v", got, err)
	}
}

// The status of a machine names who signed the policies that it is judged by.
func TestStatusNamesSigners(t *testing.T) {
	s, m := newStore(t), verifiertest.New(t)
	runtime, boot := []rest.Signer{{KeyID: "k", Subject: "CN=é"}}, []rest.Signer{{KeyID: "l"}}
	p := rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Text: "{}", Digest: "d", Envelope: "x", SignedBy: runtime}}
	err := errors.Join(
		s.RuntimePolicies.Add(t.Context(), p),
		s.BootPolicies.Add(t.Context(), rest.BootPolicy{Policy: rest.Policy{Name: "front", Text: "{}", Digest: "e", Envelope: "x", SignedBy: boot}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	enrol(t, s, m, "web")
	front := "front"
	if err := s.Update(t.Context(), m.AgentID, rest.AgentUpdate{BootPolicy: &front}); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s).Policies; !slices.Equal(got.RuntimeSignedBy, runtime) || !slices.Equal(got.BootSignedBy, boot) {
		t.Errorf("%+v", got)
	}
	p.Envelope, p.SignedBy = "", nil
	if err := s.RuntimePolicies.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s).Policies; got.RuntimeSignedBy != nil || !slices.Equal(got.BootSignedBy, boot) {
		t.Errorf("%+v", got)
	}
}

func TestPolicyKeepsItsBytes(t *testing.T) {
	s := newStore(t)
	text := "{ \"meta\": {\"version\": 1},\n\"x\": \"<\\u00e9\" }\n"
	sum := sha256.Sum256([]byte(text))
	if err := s.RuntimePolicies.Add(t.Context(), rest.RuntimePolicy{Policy: rest.Policy{Name: "p", Text: text, Digest: hex.EncodeToString(sum[:])}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.RuntimePolicies.Text(t.Context(), hex.EncodeToString(sum[:]))
	if err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}

// BenchmarkAddEntries prints what it costs to store an entry that is new to the
// fleet, and one that is known.
func BenchmarkAddEntries(b *testing.B) {
	const entries = 20_000
	s := newStore(b)
	m := verifiertest.New(b)
	var round int
	list := func() *store.Collection {
		m.Reboot()
		for i := range entries {
			m.File(fmt.Sprintf("/bin/%d/%d", round, i), good)
		}
		ev, list := m.Evidence(0)
		begun, err := appraise.Begin(m.Standing(), verifiertest.Question(), ev)
		if err != nil {
			b.Fatal(err)
		}
		c := s.Collect()
		outcome(begun, list, nil, c)
		return c
	}
	for _, c := range []struct {
		name  string
		fresh bool
	}{{"new", true}, {"known", false}} {
		b.Run(c.name, func(b *testing.B) {
			o := list()
			for b.Loop() {
				if c.fresh {
					b.StopTimer()
					round++
					o = list()
					b.StartTimer()
				}
				if _, err := s.AddEntries(b.Context(), o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
		})
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

// I07: a nonce that was issued by a clock that was ahead brings no trust once the
// clock is right.
func TestI07_ClockSetBack(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	a.NonceIssued = a.NonceIssued.Add(24 * time.Hour)
	a.TrustedUntil = a.TrustedUntil.Add(24 * time.Hour)
	if _, err := s.Commit(t.Context(), e, st, a); err != nil {
		t.Fatal(err)
	}
	if got := trust(t, s); got.FreshUntil.After(time.Now().Add(2 * time.Minute)) {
		t.Errorf("fresh until %v", got.FreshUntil)
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

// I10: many who read at once, more than there are connections, do not wait for
// each other for ever.
func TestI10_ManyReadersAtOnce(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	for i := range 50 {
		m.File(fmt.Sprintf("/bad/%d", i), bad)
	}
	commit(t, s, m, e, p)
	m.Reboot()
	st := commit(t, s, m, e, p)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			past, err := s.PastFailures(ctx, st)
			if err != nil || len(past) != 50 {
				t.Errorf("%d failures, %v", len(past), err)
			}
			if err := s.Visit(ctx, st, ima.NewStream(ima.NewState(pcr.SHA256))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
