package session

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// room is what lists may take up in memory while they arrive and are judged, in
// bytes as announced. Small lists, large ones, and those of machines whose last
// large one dawdled have a part each: who announces the most and lets it drip
// keeps others waiting once, and then only those of its kind.
type room struct {
	small, large, slow *semaphore.Weighted

	mu       sync.Mutex
	dawdlers map[int64]struct{} // enrolments whose last large list dawdled
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
	since     time.Time
	there     bool // the list has arrived
}

// take waits until there is room for a list of an enrolment's machine.
func (r *room) take(ctx context.Context, enrolment, size int64) (*place, error) {
	p := &place{room: r, part: r.small, enrolment: enrolment, size: size}
	if size > smallList {
		p.part = r.partOf(enrolment)
	}
	err := p.part.Acquire(ctx, size)
	p.since = time.Now()
	return p, err
}

func (r *room) partOf(enrolment int64) *semaphore.Weighted {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, slow := r.dawdlers[enrolment]; slow {
		return r.slow
	}
	return r.large
}

// arrived notes that all of the list is there.
func (p *place) arrived() { p.there = true }

// leave gives the room back, and remembers whether the list dawdled.
func (p *place) leave() {
	p.part.Release(p.size)
	if p.part == p.room.small {
		return
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.there {
		delete(p.room.dawdlers, p.enrolment)
	} else if time.Since(p.since) > dawdling {
		p.room.dawdlers[p.enrolment] = struct{}{}
	}
}
