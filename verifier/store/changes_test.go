package store

import "testing"

// Who waits and leaves is forgotten: keys come from strangers.
func TestChangesHoldNoKeyNobodyWaitsFor(t *testing.T) {
	var c changes
	_, leaveA := c.wait("a")
	changed, leaveB := c.wait("a")
	leaveA()
	c.announce("a")
	select {
	case <-changed:
	default:
		t.Error("the one who stayed was not woken")
	}
	again, leaveC := c.wait("a")
	leaveB() // of the wait before
	if len(c.waiting) != 1 {
		t.Error("a leave of an older wait ended a newer one")
	}
	leaveC()
	select {
	case <-again:
		t.Error("woken by nothing")
	default:
	}
	if len(c.waiting) != 0 {
		t.Errorf("%d keys are held", len(c.waiting))
	}
}
