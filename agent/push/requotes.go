package push

import "time"

// requotes counts the pauses before entries that no quote covers yet are quoted
// again. The zero requotes starts at firstRequote.
type requotes struct {
	tries int
	d     time.Duration
}

// next returns the next pause, or false after maxRequotes.
func (r *requotes) next() (time.Duration, bool) {
	if r.tries == maxRequotes {
		return 0, false
	}
	r.tries++
	r.d = min(max(2*r.d, firstRequote), lastRequote)
	return r.d, true
}
