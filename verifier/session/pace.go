package session

import (
	"sync"
	"time"
)

// pace counts the sessions that each enrolled machine begins: each costs some lines
// of log, and one that ends in a rejection a write. The zero value is ready for use.
type pace struct {
	mu    sync.Mutex
	began time.Time     // the minute
	count map[int64]int // by enrolment, in that minute
}

// begin counts one and reports whether it is within maxSessions.
func (p *pace) begin(enrolment int64, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil || now.Sub(p.began) >= time.Minute || now.Before(p.began) {
		p.began, p.count = now, map[int64]int{}
	}
	p.count[enrolment]++
	return p.count[enrolment] <= maxSessions
}
