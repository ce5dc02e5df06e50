package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"quicklime/verifier/appraise"
	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
)

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
