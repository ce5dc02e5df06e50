package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"quicklime/wire"
)

// I08: machines that announce the most and dawdle take the room of large lists
// once; from then on they keep only each other waiting, until one of their lists
// arrives. Who waits, or loses its connection soon, is none of them.
func TestI08_DawdlersTakeTheRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom()
		const first, second, third, honest = 1, 2, 3, 4
		take := func(enrolment, size int64) (*place, error) {
			soon, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return r.take(soon, enrolment, size)
		}
		must := func(enrolment int64) *place {
			t.Helper()
			p, err := take(enrolment, wire.MaxList)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		one, two := must(first), must(second)
		if _, err := take(honest, wire.MaxList); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with no room: %v", err)
		}
		time.Sleep(dawdling)
		one.leave()
		two.leave()
		slow, slower := must(first), must(second)
		must(honest).leave() // which had to wait, and now loses its connection
		if again := must(honest); again.part != r.large {
			t.Error("a machine that waited is taken for a dawdler")
		} else {
			again.leave()
		}
		slow.arrived()
		slow.leave()
		slower.leave()
		if got := must(first); got.part != r.large {
			t.Error("a machine whose list has arrived is still a dawdler")
		}
		if got := must(third); got.part != r.large {
			t.Error("a machine that is new is taken for a dawdler")
		}
		if small, err := take(second, smallList); err != nil || small.part != r.small {
			t.Errorf("a small list of a dawdler: %v", err)
		}
	})
}
