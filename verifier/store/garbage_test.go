package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"quicklime/ima"
	"quicklime/wire/pcr"
	"quicklime/wire/sqlite"
)

// garbageFleet is a store with machines whose lists a test makes.
type garbageFleet struct {
	*Store
	t    *testing.T
	path string
}

func newGarbageFleet(t *testing.T) garbageFleet {
	path := filepath.Join(t.TempDir(), "verifier.db")
	return garbageFleet{runStore(t, path), t, path}
}

func (g garbageFleet) exec(query string, args ...any) {
	g.t.Helper()
	if err := g.db.Write(g.t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g garbageFleet) standing(agent int) Standing {
	g.t.Helper()
	st, err := scanStanding(g.db.Read().QueryRow(selectStanding, agent+1), Enrolment{ID: int64(agent + 1)})
	if err != nil {
		g.t.Fatal(err)
	}
	return st
}

func runStore(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// recorder keeps a list.
type recorder struct {
	entries []ima.Entry
	sums    [][sha256.Size]byte
}

func (r *recorder) Visit(b ima.Batch) {
	r.entries, r.sums = append(r.entries, b.Entries...), append(r.sums, b.Sums...)
}

// files are entries from one number to before another.
func files(from, to int) (all []ima.Entry) {
	for i := from; i < to; i++ {
		all = append(all, ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte{byte(i), byte(i >> 8)}), fmt.Sprintf("/usr/lib/%d", i)))
	}
	return all
}

func (g garbageFleet) collect(entries []ima.Entry) *Collection {
	c := g.Collect()
	for i, e := range entries {
		c.Visit(ima.Batch{First: uint64(i), Entries: []ima.Entry{e}, Sums: [][sha256.Size]byte{sha256.Sum256(e.Data)}})
	}
	return c
}

// keep commits a list of a machine, from a sequence that was added.
func (g garbageFleet) keep(agent int, q Sequence) error {
	return g.db.Write(g.t.Context(), func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return insertMachine(tx, agent, q, now)
	})
}

// insertMachine enrols a machine with its list.
func insertMachine(tx *sql.Tx, agent int, q Sequence, now time.Time) error {
	area := make([]byte, 90)
	id := fmt.Sprintf("%064x", agent)
	spki := sha256.Sum256([]byte(id))
	e := Enrolment{ID: int64(agent + 1)}
	epoch := make([]byte, 32)
	if _, err := tx.Exec(`INSERT INTO enrolment VALUES (?, ?, ?, ?, ?, ?, 11, 0)`, e.ID, id, area, area, area, spki[:]); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO state (enrolment, label, judged, epoch, reset_count, restart_count, boot, bank, entries, pcr, clock, evidence)
		VALUES (?, ?, 'x', ?, 1, 0, ?, 11, ?, ?, 1, ?)`, e.ID, fmt.Sprintf("host-%d", agent), epoch, epoch, q.Len(), epoch, make([]byte, 1500))
	if err != nil {
		return err
	}
	_, err = appendEntries(tx, e, Accepted{Entries: q}, epoch, now)
	return err
}

func (g garbageFleet) add(entries []ima.Entry) Sequence {
	g.t.Helper()
	q, err := g.AddEntries(g.t.Context(), g.collect(entries))
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

func (g garbageFleet) sweepAll() Swept {
	g.t.Helper()
	s, err := g.sweep(g.t.Context(), -1)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// has checks that the list of a machine is these entries.
func (g garbageFleet) has(agent int, entries []ima.Entry) {
	g.t.Helper()
	var r recorder
	if err := g.Visit(g.t.Context(), g.standing(agent), &r); err != nil || len(r.entries) != len(entries) {
		g.t.Fatalf("%d entries, want %d: %v", len(r.entries), len(entries), err)
	}
	for i, e := range entries {
		if string(r.entries[i].Data) != string(e.Data) || r.sums[i] != sha256.Sum256(e.Data) {
			g.t.Fatalf("entry %d is another", i)
		}
	}
}

func (g garbageFleet) forget(agent int) {
	g.t.Helper()
	if err := g.db.Write(g.t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM enrolment WHERE id = ?`, agent+1)
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g garbageFleet) count(query string) (n int) {
	g.t.Helper()
	if err := g.db.Read().QueryRow(query).Scan(&n); err != nil {
		g.t.Fatal(err)
	}
	return n
}

// What a list has stays, what none has goes, and with it what finds it.
func TestGarbageIsWhatNoListHas(t *testing.T) {
	g := newGarbageFleet(t)
	shared, one := files(0, 500), files(500, 3000)
	for agent, list := range [][]ima.Entry{append(shared, one...), shared} {
		if err := g.keep(agent, g.add(list)); err != nil {
			t.Fatal(err)
		}
	}
	if s := g.sweepAll(); s.Entries != 0 {
		t.Errorf("%+v while all are needed", s)
	}
	g.forget(0)
	if s := g.sweepAll(); s.Entries != len(one) {
		t.Errorf("%+v, want %d entries", s, len(one))
	}
	g.has(1, shared)
	if n := g.count(`SELECT count(*) FROM entry_index`); n != 3*len(shared) {
		t.Errorf("%d rows of the index for %d entries", n, len(shared))
	}
	g.forget(1)
	g.sweepAll()
	if n := g.count(`SELECT count(*) FROM block`); n != 0 {
		t.Errorf("%d blocks for nobody", n)
	}
	if err := g.keep(2, g.add(shared)); err != nil { // though their old numbers were known
		t.Fatal(err)
	}
	g.has(2, shared)
}

// I22: entries that are collected between being found and being referred to are
// never referred to: the list is added again, or collected again.
func TestI22_GarbageBetweenAddingAndCommitting(t *testing.T) {
	g := newGarbageFleet(t)
	list := files(0, 200)
	if err := g.keep(0, g.add(list)); err != nil {
		t.Fatal(err)
	}
	c := g.collect(list) // all are known
	q, err := g.AddEntries(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	g.forget(0)
	if s := g.sweepAll(); s.Entries != len(list) {
		t.Fatalf("%+v", s)
	}
	if err := g.keep(1, q); !errors.Is(err, ErrConflict) {
		t.Errorf("a sequence of entries that are gone is committed: %v", err)
	}
	if _, err := g.AddEntries(t.Context(), c); !errors.Is(err, ErrCollected) {
		t.Errorf("a collection of numbers that are gone is added: %v", err)
	}
	if err := g.keep(1, g.add(list)); err != nil {
		t.Fatal(err)
	}
	g.has(1, list)
}

// The blocks of many small evidences become few.
func TestSmallBlocksAreMerged(t *testing.T) {
	g := newGarbageFleet(t)
	for i := range 100 {
		if err := g.keep(i, g.add(files(i, i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.count(`SELECT count(*) FROM block`); n != 100 {
		t.Fatalf("%d blocks", n)
	}
	if s := g.sweepAll(); s.Merged == 0 || g.count(`SELECT count(*) FROM block`) > 2 {
		t.Errorf("%+v, %d blocks", s, g.count(`SELECT count(*) FROM block`))
	}
	for i := range 100 {
		g.has(i, files(i, i+1))
	}
}

// I10: a block that is damaged keeps nothing else from being collected.
func TestI10_GarbageBesideDamage(t *testing.T) {
	g := newGarbageFleet(t)
	if err := g.keep(0, g.add(files(0, 2000))); err != nil {
		t.Fatal(err)
	}
	if err := g.keep(1, g.add(files(2000, 4000))); err != nil {
		t.Fatal(err)
	}
	if err := g.db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE block SET bytes = x'00' WHERE first = 1`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	g.forget(0)
	g.forget(1)
	s, err := g.sweep(context.Background(), -1)
	if err == nil || s.Entries != 2000 {
		t.Errorf("%+v, %v", s, err)
	}
}

// I22: what is committed between a look at the lists and the collection stays.
func TestI22_CommittedWhileGarbageIsLookedFor(t *testing.T) {
	g := newGarbageFleet(t)
	list := files(0, maxFolded+200) // stored before the verdict
	q := g.add(list)
	w := sweeper{store: g.Store, marks: marks{}, before: time.Now().Add(time.Hour)}
	if err := w.mark(t.Context(), g.db.Read()); err != nil {
		t.Fatal(err)
	}
	if err := g.keep(0, q); err != nil {
		t.Fatal(err)
	}
	if err := w.collect(t.Context(), 1); err != nil || w.swept.Entries != 0 {
		t.Errorf("%+v, %v", w.swept, err)
	}
	g.has(0, list)
}

// I22: a verifier that ends between storing entries and the verdict leaves entries that
// no list has: they are kept for a while, then collected, and the same list comes again.
func TestI22_CrashBeforeTheVerdict(t *testing.T) {
	g := newGarbageFleet(t)
	list := files(0, 3000)
	g.add(list)
	g = garbageFleet{runStore(t, g.path), t, g.path} // the next process
	if s, err := g.sweep(t.Context(), garbageAge); err != nil || s.Entries != 0 {
		t.Errorf("young entries are collected: %+v, %v", s, err)
	}
	q := g.add(list)
	if n := g.count(`SELECT sum(live) FROM block`); n != len(list) {
		t.Errorf("%d entries are stored of %d", n, len(list))
	}
	if s := g.sweepAll(); s.Entries != len(list) {
		t.Errorf("%+v, want %d entries", s, len(list))
	}
	if err := g.keep(0, q); !errors.Is(err, ErrConflict) {
		t.Errorf("a sequence of what was collected: %v", err)
	}
	if err := g.keep(0, g.add(list)); err != nil {
		t.Fatal(err)
	}
	g.has(0, list)
}

// I22: two verifiers on one database store entries once, and see what the other
// collected.
func TestI22_TwoVerifiersOnOneDatabase(t *testing.T) {
	one := newGarbageFleet(t)
	two := garbageFleet{runStore(t, one.path), t, one.path}
	list := files(0, 3000)
	if err := one.keep(0, one.add(list)); err != nil {
		t.Fatal(err)
	}
	if err := two.keep(1, two.add(list)); err != nil {
		t.Fatal(err)
	}
	if n := one.count(`SELECT sum(live) FROM block`); n != len(list) {
		t.Errorf("%d entries are stored of %d", n, len(list))
	}
	two.has(0, list)
	q := one.add(list) // all are known
	known := one.collect(list)
	two.forget(0)
	two.forget(1)
	if s := two.sweepAll(); s.Entries != len(list) {
		t.Errorf("%+v", s)
	}
	if err := one.keep(2, q); !errors.Is(err, ErrConflict) {
		t.Errorf("a sequence of what the other collected: %v", err)
	}
	if _, err := one.AddEntries(t.Context(), known); !errors.Is(err, ErrCollected) {
		t.Errorf("a collection of what the other collected: %v", err)
	}
	if err := one.keep(2, one.add(list)); err != nil {
		t.Fatal(err)
	}
	two.has(2, list)
}

// What is older than is kept of past boots is forgotten.
func TestPastListsAreForgotten(t *testing.T) {
	g := newGarbageFleet(t)
	for agent := range 20 {
		if err := g.keep(agent, g.add(files(0, 10))); err != nil {
			t.Fatal(err)
		}
	}
	now, err := g.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.exec(`UPDATE list SET ended_at = ? WHERE id % 2 = 0`, millis(now.Add(-maxPastAge-time.Minute)))
	g.exec(`UPDATE list SET ended_at = ? WHERE id % 4 = 0`, millis(now.Add(-maxPastAge+time.Minute)))
	if s := g.sweepAll(); s.Lists != 5 || g.count(`SELECT count(*) FROM segment`) != 15 {
		t.Errorf("%+v", s)
	}
}
