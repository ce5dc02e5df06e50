package push

import "time"

// backoff is a wait that doubles from firstPause to lastPause. The zero backoff
// with a random source starts at firstPause.
type backoff struct {
	random func() float64 // in [0, 1)
	d      time.Duration
}

// next returns the next wait, of which the upper half is random: machines that
// lost the verifier together do not come back together.
func (b *backoff) next() time.Duration {
	b.d = min(max(2*b.d, firstPause), lastPause)
	return b.d/2 + time.Duration(b.random()*float64(b.d/2))
}

// reset starts over at firstPause.
func (b *backoff) reset() { b.d = 0 }

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
