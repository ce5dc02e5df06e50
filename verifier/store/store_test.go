package store_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
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
func replay(t testing.TB, s *store.Store, st store.Standing) (*ima.Replayed, error) {
	stream := ima.NewStream(ima.NewState(st.Resume.Bank()))
	if err := s.Visit(t.Context(), st, stream); err != nil {
		return nil, err
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

func spkiOf(t testing.TB, k *softtpm.AK) [32]byte {
	t.Helper()
	spki, err := tpm.SPKIHash(k.Public.Key())
	if err != nil {
		t.Fatal(err)
	}
	return spki
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
