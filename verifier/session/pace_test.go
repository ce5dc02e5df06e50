package session

import (
	"testing"
	"time"
)

// I08: a machine begins so many sessions a minute, whatever others do.
func TestI08_SessionsOfOneMachine(t *testing.T) {
	var p pace
	now := time.Now()
	for i := range 2 * maxSessions {
		if got, want := p.begin(1, now), i < maxSessions; got != want {
			t.Fatalf("session %d: %t", i+1, got)
		}
	}
	if !p.begin(2, now) {
		t.Error("another machine may not begin one")
	}
	if !p.begin(1, now.Add(time.Minute)) {
		t.Error("a minute later it may not")
	}
}
