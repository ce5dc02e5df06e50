package store_test

import (
	"errors"
	"fmt"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
)

// Of withdrawn payloads the newest are listed. Those that were forgotten stay as old as
// they were (I27), and the machine still hears that it is to have none.
func TestI04_I27_WithdrawnPayloadsAreForgottenAndStayOld(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	const more = 3
	for n := range store.MaxWithdrawn + more {
		name := fmt.Sprintf("p%d", n)
		newPayload(t, uint64(10+n), 10, named(name)).send(t, s)
		if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, name); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.ListPayloads(t.Context(), verifiertest.AgentID)
	if err != nil || len(l.Payloads) != store.MaxWithdrawn || l.Floor != 10+more-1 {
		t.Fatalf("%d payloads, floor %d, %v", len(l.Payloads), l.Floor, err)
	}
	for name, floor := range map[string]uint64{"p0": 10, "p2": 10 + more - 1, "never": 1} {
		if err := newPayload(t, floor, 10, named(name)).begin(t, s); !errors.Is(err, store.ErrConflict) {
			t.Errorf("version %d of %s: %v", floor, name, err)
		}
	}
	newPayload(t, l.Floor+1, 10, named("p0")).send(t, s)
	if all := offered(t, s, e); len(all) != 1 || all[0].Name != "p0" {
		t.Errorf("%+v", all)
	}
}

// Age takes the records of withdrawn payloads, too, and none of another.
func TestI27_OldRecordsOfWithdrawnPayloadsAreForgotten(t *testing.T) {
	d := newDamaged(t)
	e := enrol(t, d.Store, verifiertest.New(t), "")
	newPayload(t, 5, 10).send(t, d.Store)
	newPayload(t, 4, 10, named("kept")).send(t, d.Store)
	if err := d.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
		t.Fatal(err)
	}
	d.CollectGarbage(t)
	if l, err := d.ListPayloads(t.Context(), verifiertest.AgentID); err != nil || len(l.Payloads) != 2 || l.Floor != 0 {
		t.Fatalf("what was just withdrawn is forgotten: %+v, %v", l, err)
	}
	d.exec(`UPDATE payload SET withdrawn_at = withdrawn_at - ?`, 2*store.MaxWithdrawnAge.Milliseconds())
	d.CollectGarbage(t)
	l, err := d.ListPayloads(t.Context(), verifiertest.AgentID)
	if err != nil || len(l.Payloads) != 1 || l.Payloads[0].Name != "kept" || l.Floor != 5 {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := newPayload(t, 5, 10).begin(t, d.Store); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a version that was withdrawn and forgotten: %v", err)
	}
	if err := d.WithdrawPayload(t.Context(), verifiertest.AgentID, "kept"); err != nil {
		t.Fatal(err)
	}
	d.exec(`UPDATE payload SET withdrawn_at = withdrawn_at - ?`, 2*store.MaxWithdrawnAge.Milliseconds())
	d.CollectGarbage(t)
	if all, ever, err := d.Payloads(t.Context(), e); err != nil || len(all) != 0 || !ever {
		t.Errorf("a machine that was away is not told that it is to have none: %+v, %v, %v", all, ever, err)
	}
	if l, err := d.ListPayloads(t.Context(), verifiertest.AgentID); err != nil || l.Floor != 5 {
		t.Errorf("the floor sinks: %+v, %v", l, err)
	}
}
