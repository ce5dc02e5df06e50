package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"quicklime/wire"
)

// I08: machines that announce the most and dawdle take the room of large lists
// once; from then on they keep only each other waiting, until one of their lists
// arrives.
func TestI08_DawdlersTakeTheRoomOnce(t *testing.T) {
	r := newRoom()
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	const first, second, third, honest = 1, 2, 3, 4
	take := func(enrolment int64) place {
		t.Helper()
		hang, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		p, err := r.take(hang, enrolment, wire.MaxList)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, two := take(first), take(second)
	if _, err := r.take(soon, honest, wire.MaxList); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("with no room: %v", err)
	}
	one.leave()
	two.leave()
	slow, slower := take(first), take(second)
	take(honest).leave() // which had to wait, and is no dawdler for that
	if got := take(third); got.part != r.large {
		t.Error("a machine that is new is taken for a dawdler")
	}
	slow.arrived()
	slow.leave()
	slower.leave()
	if got := take(first); got.part != r.large {
		t.Error("a machine whose list has arrived is still a dawdler")
	}
	if small, err := r.take(t.Context(), second, smallList); err != nil || small.part != r.small {
		t.Errorf("a small list of a dawdler: %v", err)
	}
}
