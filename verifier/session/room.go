package session

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// room is what lists may take up in memory while they arrive and are judged, in
// bytes as announced. Small lists, large ones, and those of machines whose last
// large one did not arrive have a part each: who announces the most and dawdles
// keeps others waiting once, and then only those of its kind.
type room struct {
	small, large, slow *semaphore.Weighted

	mu       sync.Mutex
	dawdlers map[int64]struct{} // enrolments whose last large list did not arrive
}

func newRoom() *room {
	return &room{
		small: semaphore.NewWeighted(maxLists), large: semaphore.NewWeighted(maxLists), slow: semaphore.NewWeighted(maxLists),
		dawdlers: map[int64]struct{}{},
	}
}

// place is room that was taken.
type place struct {
	room      *room
	part      *semaphore.Weighted
	enrolment int64
	size      int64
}

// take waits until there is room for a list of an enrolment's machine.
func (r *room) take(ctx context.Context, enrolment, size int64) (place, error) {
	p := place{r, r.small, enrolment, size}
	if size > smallList {
		p.part = r.partOf(enrolment)
	}
	if err := p.part.Acquire(ctx, size); err != nil {
		return p, err
	}
	if size > smallList {
		r.arrives(enrolment, false) // until it has
	}
	return p, nil
}

func (r *room) partOf(enrolment int64) *semaphore.Weighted {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, slow := r.dawdlers[enrolment]; slow {
		return r.slow
	}
	return r.large
}

// arrives notes whether an enrolment's large list has arrived.
func (r *room) arrives(enrolment int64, arrived bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if arrived {
		delete(r.dawdlers, enrolment)
	} else {
		r.dawdlers[enrolment] = struct{}{}
	}
}

// arrived notes that all of the list is there.
func (p place) arrived() {
	if p.part != p.room.small {
		p.room.arrives(p.enrolment, true)
	}
}

// leave gives the room back.
func (p place) leave() { p.part.Release(p.size) }
